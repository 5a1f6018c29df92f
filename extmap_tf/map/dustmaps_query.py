"""A map in the shape of the package dustmaps, for code that was written for its maps."""

import warnings

import numpy as np
from astropy import units as u

from extmap_tf.errors import ConfigError
from extmap_tf.estimate import Flag
from extmap_tf.map.volume import ExtinctionMap

try:
    with warnings.catch_warnings():
        # On import dustmaps warns of a missing configuration, which only its own downloads need.
        warnings.simplefilter("ignore")
        from dustmaps.map_base import DustMap, ensure_coord_type
except ImportError:
    raise ImportError(
        "extmap_tf.map.dustmaps_query needs the package dustmaps: pip install 'extmap_tf[dustmaps]'"
    ) from None

MODES = ("median", "mean", "std", "percentile", "samples", "random_sample_per_pix")


class ExtmapQuery(DustMap):
    """Extinction or reddening of an `ExtinctionMap` as dustmaps gives it: numbers without units.

    As in dustmaps' own maps, an axis of percentiles or samples is the last one, percentiles are called `pct`,
    and ``query_gal`` and ``query_equ`` take plain numbers. Unlike them, the default mode is the median, and a
    random sample is the same at every call with the same `seed`.

    Parameters
    ----------
    source : ExtinctionMap or path-like
        The map or its file.
    band : str, optional
        A band or colour excess, in which all answers are; the map's own if left out.
    law : LawConfig or str, optional
        As for `ExtinctionMap.band_factor`.
    sky : {"nearest", "linear"}
    """

    def __init__(self, source, band=None, law=None, sky="nearest"):
        super().__init__()
        self.map = source if isinstance(source, ExtinctionMap) else ExtinctionMap.read(source)
        self.map.band_factor(band, law)
        self.band = band or self.map.provenance.band
        self._how = {"band": band, "law": law, "sky": sky}

    @property
    def distances(self):
        """Distances of the profiles, Quantity [n_distances] in kpc: the outer edges of the bins."""
        return self.map.distance.outer_kpc * u.kpc

    @property
    def distmods(self):
        """The same as distance moduli, Quantity [n_distances] in mag."""
        return 5.0 * (np.log10(self.map.distance.outer_kpc) + 2.0) * u.mag

    @ensure_coord_type
    def query(self, coords, mode="median", return_flags=False, pct=None, seed=0):
        """Extinction in `band`.

        Parameters
        ----------
        coords : astropy.coordinates.SkyCoord
            With distances: the value there. Without: the profile at `distances`.
        mode : {"median", "mean", "std", "percentile", "samples", "random_sample_per_pix"}
        return_flags : bool
            Also return a structured array of the shape of `coords`: ``flag`` (bits of
            `extmap_tf.estimate.Flag`) and, with distances, ``reliable_dist``; without,
            ``min_reliable_distmod`` and ``max_reliable_distmod`` in mag (NaN where the map does not say).
        pct : float or sequence of float, optional
            Percentiles, with ``mode="percentile"``.
        seed : int
            Of ``random_sample_per_pix``.

        Returns
        -------
        ndarray of float32
            mag; ``coords.shape``, then ``(n_distances,)`` without distances, then ``(n_percentiles,)`` for a
            sequence of percentiles or ``(n_samples,)`` for samples. NaN where there is no value.
        """
        if mode not in MODES:
            raise ConfigError(f"mode must be one of {', '.join(MODES)}, got: {mode!r}")
        own_mode = "random_sample" if mode == "random_sample_per_pix" else mode
        values, bits = self.map.query(
            coords, mode=own_mode, percentile=pct, seed=seed, return_flags=True, **self._how
        )
        values = np.asarray(values.value)
        if mode == "samples" or np.ndim(pct):
            values = np.moveaxis(values, bits.ndim, -1)
        return (values, self._flags(coords, bits)) if return_flags else values

    def _flags(self, coords, bits):
        if hasattr(coords.distance, "kpc"):
            flags = np.zeros(bits.shape, [("flag", "u2"), ("reliable_dist", "?")])
            far = Flag.BEYOND_RELIABLE_DISTANCE | Flag.BEYOND_LAST_DISTANCE | Flag.OUTSIDE_SKY
            flags["reliable_dist"] = bits & far.value == 0
        else:
            names = ("min_reliable_distmod", "max_reliable_distmod")
            flags = np.zeros(bits.shape, [("flag", "u2"), *((name, "f4") for name in names)])
            for name in names:
                flags[name] = np.nan
            if self.map.percentiles:
                place = coords.galactic
                index = self.map.grid.sightline_of(place.l.deg.ravel(), place.b.deg.ravel())
                limit = self.map.reliable_distance_kpc.reshape(-1)[np.maximum(index, 0)].astype(float)
                with np.errstate(divide="ignore"):
                    distmod = 5.0 * (np.log10(limit) + 2.0)
                flags["max_reliable_distmod"] = np.where(index >= 0, distmod, np.nan).reshape(bits.shape)
                flags["min_reliable_distmod"] = np.where(index >= 0, -np.inf, np.nan).reshape(bits.shape)
        flags["flag"] = bits
        return flags
