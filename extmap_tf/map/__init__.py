"""The map: its file and queries (`volume`), its errors (`metrics`), its pictures (`figures`)."""
