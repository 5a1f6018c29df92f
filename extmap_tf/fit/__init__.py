"""The exact forward model, and fits by its likelihood: no network."""
