"""The stars of a survey from an archive, by TAP."""
