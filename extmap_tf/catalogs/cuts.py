"""Which rows of a star table count as stars: one set of cuts for real and mock tables alike."""

import numpy as np

# 2MASS flags have one character a band, in this order (Cutri et al. 2003, sec. 2.2.a).
FLAG_BANDS = {"J": 0, "H": 1, "K": 2, "KS": 2}

# Tables without quality flags mark an upper limit by an error of 9.99 or the like.
UPPER_LIMIT_ERROR_MAG = 9.0

# No telescope's star lies outside; tables write a missing magnitude as 99.999, -999 and so on.
FAINTEST_MAG = 40.0
BRIGHTEST_MAG = -20.0


def flag_index(band_name):
    """Which character of a 2MASS flag speaks of the band `band_name`; None for a band that is not 2MASS's."""
    return FLAG_BANDS.get(band_name.upper())


def apply_cuts(
    survey,
    blue_mag,
    red_mag,
    blue_error_mag,
    red_error_mag,
    ph_qual=None,
    cc_flg=None,
    l_deg=None,
    b_deg=None,
):
    """Decide which rows are stars detected in both bands.

    A row is left out for the first of these reasons that applies, the blue band before the red: no
    position, no magnitude, upper limit (flag U, or an error of 9 mag or more), a photometric quality letter
    that the cuts do not keep, no error, an error above the largest allowed, brighter than the bright limit,
    a contamination letter that the cuts do not keep. Both limits are inclusive: a star at `max_error_mag`
    or at `bright_mag` is kept. An upper limit is never kept, whatever the cuts.

    Parameters
    ----------
    survey : SurveyConfig
        Names of the bands, and the cuts.
    blue_mag, red_mag, blue_error_mag, red_error_mag : array_like of float [n_rows]
        Observed magnitudes and their errors; NaN where missing.
    ph_qual, cc_flg : ndarray of str or bytes [n_rows], optional
        2MASS photometric quality and contamination flags, one character for each of J, H, Ks. Without
        `ph_qual` the errors alone decide.
    l_deg, b_deg : array_like of float [n_rows], optional
        Positions; NaN where missing.

    Returns
    -------
    kept : ndarray of bool [n_rows]
    rejected : dict of str to int
        How many rows were left out for each reason; reasons that never applied are absent.
    """
    cuts = survey.cuts
    bands = [
        (survey.blue.name, np.asarray(blue_mag), np.asarray(blue_error_mag)),
        (survey.red.name, np.asarray(red_mag), np.asarray(red_error_mag)),
    ]
    kept = np.ones(len(bands[0][1]), bool)
    rejected = {}

    def leave_out(reason, wrong):
        if not wrong.any():
            return
        wrong &= kept
        np.logical_xor(kept, wrong, out=kept)
        if n_rejected := np.count_nonzero(wrong):
            rejected[reason] = n_rejected

    if l_deg is not None:
        l, b = np.asarray(l_deg), np.asarray(b_deg)
        leave_out("no position", ~((np.abs(b) <= 90.0) & (np.abs(l) <= 360.0)))
    for band, mag, _ in bands:
        leave_out(f"no {band} magnitude", ~((mag > BRIGHTEST_MAG) & (mag < FAINTEST_MAG)))
    quality = [_letters(ph_qual, band) for band, _, _ in bands]
    for (band, _, error), letter in zip(bands, quality, strict=True):
        limit = error >= UPPER_LIMIT_ERROR_MAG
        leave_out(f"{band} upper limit", limit if letter is None else limit | (letter == ord("U")))
    for (band, _, _), letter in zip(bands, quality, strict=True):
        if letter is not None:
            leave_out(f"{band} ph_qual", ~_is_one_of(letter, cuts.ph_qual_keep))
    for band, _, error in bands:
        leave_out(f"{band} error missing", ~(error >= 0.0))
    for band, _, error in bands:
        # Catalogs give errors to 0.001 mag; 32-bit tables hold 0.15 as 0.1500000060.
        leave_out(f"{band} error above max_error_mag", error > cuts.max_error_mag + 1e-6)
    bright = (bands[0][1] < cuts.bright_mag) | (bands[1][1] < cuts.bright_mag)
    leave_out("brighter than bright_mag", bright)
    if cuts.cc_flg_keep:
        for band, _, _ in bands:
            letter = _letters(cc_flg, band)
            if letter is not None:
                leave_out(f"{band} cc_flg", ~_is_one_of(letter, cuts.cc_flg_keep))
    return kept, rejected


def _letters(flags, band):
    """The character of each flag that speaks of `band`, as its code [n_rows]; None without flags."""
    index = flag_index(band)
    if flags is None or index is None:
        return None
    return np.ascontiguousarray(flags, "S3").view(np.uint8).reshape(-1, 3)[:, index]


def _is_one_of(letter, allowed):
    table = np.zeros(256, bool)
    table[list(allowed.encode())] = True
    return table[letter]
