"""The first word of every seed says what it is for, so that no two uses share random numbers."""

CATALOG, PAIR, REFERENCE, SKY, FIT, REFINE = 1, 2, 3, 5, 6, 7


def position_words(l_deg: float, b_deg: float) -> list[int]:
    """A place as words of a seed."""
    return [round((l_deg % 360.0) * 1e6), round((b_deg + 90.0) * 1e6)]
