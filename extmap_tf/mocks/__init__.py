"""Training pairs and the mock observed sky."""
