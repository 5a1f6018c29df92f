"""Extinction: the law between bands, profiles along a sightline, dust in space."""
