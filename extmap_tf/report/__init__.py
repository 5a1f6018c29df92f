"""One HTML file of a map."""
