"""A Galaxy model of the Besançon class (Robin et al. 2003): stars without extinction on any sightline."""

from extmap_tf.galaxy.model import Component, Galaxy, besancon_components

__all__ = ["Component", "Galaxy", "besancon_components"]
