"""What a survey does to a star."""
