"""Which rows of a star table count as stars: one set of cuts for real and mock tables alike."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from extmap_tf.settings.survey import Cuts
from extmap_tf.surveys.limits import is_bright_enough, is_error_allowed, is_faint_enough, is_magnitude

# 2MASS flags have one character a band, in this order (Cutri et al. 2003, sec. 2.2.a).
FLAG_BANDS = {"J": 0, "H": 1, "K": 2, "KS": 2}

# Tables without quality flags mark an upper limit by an error of 9.99 or the like.
UPPER_LIMIT_ERROR_MAG = 9.0


@dataclass(frozen=True)
class GaiaColumns:
    """What a table of Gaia's stars has beside magnitudes; None where it has no such column.

    Parameters
    ----------
    parallax_mas : ndarray of float [n_rows], optional
        NaN where missing; they may be negative.
    ruwe : ndarray of float [n_rows], optional
    duplicate : ndarray of bytes [n_rows], optional
        A flag as text: true, 1 and the like for a duplicated source.
    """

    parallax_mas: np.ndarray | None = None
    ruwe: np.ndarray | None = None
    duplicate: np.ndarray | None = None


def flag_index(band_name: str) -> int | None:
    """Which character of a 2MASS flag speaks of the band `band_name`; None for a band that is not 2MASS's."""
    return FLAG_BANDS.get(band_name.upper())


# As texts of three bytes: true, 1 (text or number), t, yes.
_YES = (b"tru", b"1", b"001", b"t", b"yes", b"y")


def apply_cuts(
    cuts: Cuts,
    bands: tuple[str, ...],
    magnitudes: Mapping[str, ArrayLike],
    errors: Mapping[str, ArrayLike],
    ph_qual: np.ndarray | None = None,
    cc_flg: np.ndarray | None = None,
    longitude_deg: ArrayLike | None = None,
    latitude_deg: ArrayLike | None = None,
    faint_mag: Mapping[str, float] | None = None,
    gaia: GaiaColumns = GaiaColumns(),
) -> tuple[np.ndarray, dict[str, int]]:
    """Decide which rows are stars detected in all bands.

    A row is left out for the first of these reasons that applies, the bands in their order: no
    position, no magnitude, upper limit (flag U, or an error of 9 mag or more), a photometric quality letter
    that the cuts do not keep, no error, an error above the largest allowed, brighter than the bright limit,
    fainter than the faint limit, a contamination letter that the cuts do not keep, no parallax, a RUWE above
    the largest allowed or none, a duplicated source. All limits are inclusive: a star at `max_error_mag`
    or at `bright_mag` is kept. An upper limit is never kept, whatever the cuts.

    Parameters
    ----------
    cuts : extmap_tf.settings.survey.Cuts
    bands : tuple of str
        The bands that must be there, one or more.
    magnitudes, errors : dict of str to array_like of float [n_rows]
        Observed magnitudes and their errors by band, mag; NaN where missing.
    ph_qual, cc_flg : ndarray of str or bytes [n_rows], optional
        2MASS photometric quality and contamination flags, one character for each of J, H, Ks. Without
        `ph_qual` the errors alone decide.
    longitude_deg, latitude_deg : array_like of float [n_rows], optional
        Positions in any frame: l and b, or ra and dec; NaN where missing.
    faint_mag : dict of str to float, optional
        By band, where there is one, the faintest magnitude that counts.
    gaia : GaiaColumns

    Returns
    -------
    kept : ndarray of bool [n_rows]
    rejected : dict of str to int
        How many rows were left out for each reason; reasons that never applied are absent.
    """
    columns = [(band, np.asarray(magnitudes[band]), np.asarray(errors[band])) for band in bands]
    kept = np.ones(len(columns[0][1]), bool)
    rejected: dict[str, int] = {}

    def leave_out(reason, wrong):
        if not wrong.any():
            return
        wrong &= kept
        np.logical_xor(kept, wrong, out=kept)
        if n_rejected := int(np.count_nonzero(wrong)):
            rejected[reason] = n_rejected

    if longitude_deg is not None and latitude_deg is not None:
        longitude, latitude = np.abs(longitude_deg), np.abs(latitude_deg)
        leave_out("no position", ~((latitude <= 90.0) & (longitude <= 360.0)))
    for band, mag, _ in columns:
        leave_out(f"no {band} magnitude", ~is_magnitude(mag))
    quality = [_letters(ph_qual, band) for band in bands]
    for (band, _, error), letter in zip(columns, quality, strict=True):
        limit = error >= UPPER_LIMIT_ERROR_MAG
        leave_out(f"{band} upper limit", limit if letter is None else limit | (letter == ord("U")))
    for band, letter in zip(bands, quality, strict=True):
        if letter is not None:
            leave_out(f"{band} ph_qual", ~_is_one_of(letter, cuts.ph_qual_keep))
    for band, _, error in columns:
        leave_out(f"{band} error missing", ~(error >= 0.0))
    for band, _, error in columns:
        leave_out(f"{band} error above max_error_mag", ~is_error_allowed(error, cuts))
    faint_enough = [is_faint_enough(mag, cuts) for _, mag, _ in columns]
    leave_out("brighter than bright_mag", ~np.all(faint_enough, axis=0))
    for band, faintest in (faint_mag or {}).items():
        leave_out(f"{band} fainter than faint_mag", ~is_bright_enough(magnitudes[band], faintest))
    if cuts.cc_flg_keep:
        for band in bands:
            letter = _letters(cc_flg, band)
            if letter is not None:
                leave_out(f"{band} cc_flg", ~_is_one_of(letter, cuts.cc_flg_keep))
    if gaia.parallax_mas is not None:
        leave_out("no parallax", ~np.isfinite(gaia.parallax_mas))
    if gaia.ruwe is not None and cuts.max_ruwe:
        leave_out("ruwe above max_ruwe", ~(gaia.ruwe <= cuts.max_ruwe))
    if gaia.duplicate is not None and not cuts.keep_duplicates:
        leave_out("duplicated source", np.isin(np.char.lower(gaia.duplicate), _YES))
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
