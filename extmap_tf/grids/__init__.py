"""The grids everything is measured on: colour-magnitude, distance, sky."""
