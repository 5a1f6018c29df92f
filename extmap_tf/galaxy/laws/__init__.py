"""Density laws, one a module."""
