"""The configuration: its sections, and how they are put together."""
