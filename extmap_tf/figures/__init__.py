"""Figures of maps, of their errors and of their comparisons."""
