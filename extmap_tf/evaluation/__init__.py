"""How far estimates are from a known truth, and whether their intervals hold."""
