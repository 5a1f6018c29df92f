"""A map in the shape of the package dustmaps, for code that was written for its maps."""

import contextlib
import warnings
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from extmap_tf.errors import ConfigError, ExtmapError
from extmap_tf.estimate import EMPTY_FLAGS, Flag
from extmap_tf.map.places import place_of
from extmap_tf.map.volume import ExtinctionMap
from extmap_tf.settings.law import LawConfig

try:
    with warnings.catch_warnings():
        # On import dustmaps warns of a missing configuration, which only its own downloads need.
        warnings.simplefilter("ignore")
        from dustmaps.map_base import DustMap, ensure_coord_type
except ImportError:
    raise ImportError(
        "extmap_tf.map.dustmaps_query needs the package dustmaps: pip install 'extmap_tf[dustmaps]'"
    ) from None

# Mode of dustmaps -> of ours, where there is one. "best" is the best fit of other maps.
_OWN_MODES = {name: name for name in ("median", "mean", "std", "percentile", "samples")} | {"best": "median"}
_DRAWN = ("random_sample", "random_sample_per_pix")
MODES = (*_OWN_MODES, *_DRAWN)

# Positions whose samples are drawn at once.
_BLOCK = 4096


class QueryError(ConfigError, ValueError):
    """A query that the map cannot answer, as dustmaps raises it."""


class ExtmapQuery(DustMap):
    """Extinction or reddening of an `ExtinctionMap` as dustmaps gives it: numbers without units.

    Code written for ``BayestarQuery`` or ``MarshallQuery`` calls it as it stands: modes, `pct`, flags,
    `return_sigma` and shapes are theirs, and what cannot be answered is a ValueError. Unlike Bayestar's, the
    default mode is the median, and random samples are the same at every call with the same `seed`.

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

    def __init__(
        self, source: Any, band: str | None = None, law: LawConfig | str | None = None, sky: str = "nearest"
    ) -> None:
        super().__init__()
        self.map = source if isinstance(source, ExtinctionMap) else ExtinctionMap.read(source)
        with _value_errors():
            self.map.band_factor(band, law)
        self.band = band or self.map.band
        self._how: dict[str, Any] = {"band": band, "law": law, "sky": sky}

    @property
    def distances(self) -> u.Quantity:
        """Distances of the profiles, Quantity [n_distances] in kpc: the outer edges of the bins."""
        return self.map.distance.outer_kpc * u.kpc

    @property
    def distmods(self) -> u.Quantity:
        """The same as distance moduli, Quantity [n_distances] in mag."""
        return 5.0 * (np.log10(self.map.distance.outer_kpc) + 2.0) * u.mag

    def get_query_size(
        self, coords: SkyCoord, mode: str = "median", return_flags: bool = False, pct: Any = None
    ) -> int:
        """How many numbers a query gives, the flags not counted."""
        self._require(mode, pct)
        columns = self.map.n_samples if mode == "samples" else np.size(pct) if mode == "percentile" else 1
        n_distances = 1 if hasattr(coords.distance, "kpc") else self.map.distance.n_distances
        return int(np.prod(coords.shape, dtype=int)) * columns * n_distances

    @ensure_coord_type
    def query(
        self,
        coords: SkyCoord,
        mode: str = "median",
        return_flags: bool = False,
        pct: Any = None,
        return_sigma: bool = False,
        seed: int = 0,
    ) -> Any:
        """Extinction in `band`.

        Parameters
        ----------
        coords : astropy.coordinates.SkyCoord
            With distances: the value there. Without: the profile at `distances`.
        mode : str
            ``median`` or ``best`` (the same), ``mean``, ``std``, ``percentile``; ``samples``, all stored;
            ``random_sample``, drawn anew at each position, ``random_sample_per_pix``, the same for all
            positions on a sightline. Of a map without samples, random ones are at a random rank of the
            stored percentiles.
        return_flags : bool
            Also return a structured array of the shape of `coords`: ``converged`` (there is a profile, and
            its field is none that the model doubts) and, with distances, ``reliable_dist``: whether the
            extinction there is reliable, see `extmap_tf.estimate.is_reliable`. Without, from
            ``min_reliable_distmod`` to ``max_reliable_distmod`` in mag it is, at most of the distances, see
            `extmap_tf.estimate.reliable_distance_kpc` (NaN where the map does not say). And ``flag``, the
            bits of `extmap_tf.estimate.Flag`.
        pct : float or sequence of float, optional
            Percentiles, 0 to 100, with ``mode="percentile"``; below the first stored one, or above the last,
            that one.
        return_sigma : bool
            Also return the standard deviation, as the second of the answers.
        seed : int
            Of the random modes.

        Returns
        -------
        ndarray of float32
            mag; ``coords.shape``, then ``(n_distances,)`` without distances, then ``(n_percentiles,)`` for a
            sequence of percentiles or ``(n_samples,)`` for samples. NaN where there is no value.

        Raises
        ------
        ValueError
            An unknown mode, percentiles outside 0 to 100, or what the map does not have.
        TypeError
            `coords` is no SkyCoord.
        """
        self._require(mode, pct)
        with _value_errors():
            if mode in _DRAWN:
                values, bits = self._drawn(coords, mode, seed)
            else:
                if pct is not None and self.map.percentiles:
                    pct = np.clip(pct, self.map.percentiles[0], self.map.percentiles[-1])
                values, bits = self._asked(coords, mode=_OWN_MODES[mode], percentile=pct)
                if mode == "samples" or np.ndim(pct):
                    values = np.moveaxis(values, bits.ndim, -1)
            answer = [values]
            if return_sigma:
                answer.append(self._asked(coords, mode="std")[0])
        if return_flags:
            answer.append(self._flags(coords, bits))
        return answer[0] if len(answer) == 1 else tuple(answer)

    def _require(self, mode, pct):
        if mode not in MODES:
            raise QueryError(f"mode must be one of {', '.join(MODES)}, got: {mode!r}")
        if (pct is not None) != (mode == "percentile"):
            raise QueryError(f"pct goes with mode 'percentile', got: {pct!r} with {mode!r}")
        if pct is None:
            return
        try:
            wanted = np.asarray(pct, float)
        except (TypeError, ValueError):
            wanted = np.zeros(0)
        if wanted.ndim > 1 or not wanted.size or not ((wanted >= 0) & (wanted <= 100)).all():
            raise QueryError(f"pct must be a number, or a list of numbers, from 0 to 100, got: {pct!r:.60}")

    def _asked(self, coords, **how):
        values, bits = self.map.query(coords, return_flags=True, **how, **self._how)
        return np.asarray(values.value), bits

    def _drawn(self, coords, mode, seed):
        """One of the samples, or of the ranks, of each position, or of each sightline."""
        flat, volume, random = coords.reshape(-1), self.map, np.random.default_rng(seed)
        if mode == "random_sample":
            ranks = random.random(flat.size)
        else:
            index = np.maximum(self._sightlines(flat), 0)
            ranks = random.random(volume.grid.n_sightlines)[index]
        how: dict[str, Any] = {"mode": "samples"}
        if not volume.n_samples:
            how = {"mode": "percentile", "percentile": volume.percentiles}
            if not volume.percentiles:
                return self._asked(coords, mode="median")
        parts, flags = [], []
        for start in range(0, max(flat.size, 1), _BLOCK):
            rows = slice(start, start + _BLOCK)
            columns, found = self._asked(flat[rows], **how)
            parts.append(self._at_ranks(columns, ranks[rows]))
            flags.append(found)
        values, bits = np.concatenate(parts), np.concatenate(flags)
        return values.reshape(coords.shape + values.shape[1:]), bits.reshape(coords.shape)

    def _at_ranks(self, columns, ranks):
        """Values [n, ...] at ranks [n] (0 to 1) of columns [n, n_columns, ...]."""
        row = np.arange(len(ranks))
        if self.map.n_samples:
            return columns[row, (ranks * self.map.n_samples).astype(int)]
        share = np.interp(100.0 * ranks, self.map.percentiles, np.arange(len(self.map.percentiles)))
        below = np.minimum(share.astype(int), len(self.map.percentiles) - 2)
        share = (share - below).astype(np.float32).reshape(-1, *(1,) * (columns.ndim - 2))
        return (1 - share) * columns[row, below] + share * columns[row, below + 1]

    def _sightlines(self, coords):
        return self.map.grid.sightline_of(*place_of(coords)[:2])

    def _flags(self, coords, bits):
        distant = hasattr(coords.distance, "kpc")
        names = ("min_reliable_distmod", "max_reliable_distmod")
        own = [("reliable_dist", "?")] if distant else [(name, "f4") for name in names]
        flags = np.zeros(bits.shape, [("converged", "?"), *own, ("flag", "u2")])
        far = Flag.UNRELIABLE | Flag.BEYOND_LAST_DISTANCE
        empty = EMPTY_FLAGS | Flag.OUTSIDE_SKY | Flag.NO_PLACE
        flags["converged"] = bits & ~np.uint16(far.value) == 0
        flags["flag"] = bits
        if distant:
            flags["reliable_dist"] = bits & (far | empty).value == 0
            return flags
        for name in names:
            flags[name] = np.nan
        if self.map.percentiles:
            index = np.reshape(self._sightlines(coords.reshape(-1)), bits.shape)
            limit = self.map.reliable_distance_kpc.reshape(-1)[np.maximum(index, 0)].astype(float)
            with np.errstate(divide="ignore"):
                distmod = 5.0 * (np.log10(limit) + 2.0)
            flags["max_reliable_distmod"] = np.where(index >= 0, distmod, np.nan)
            flags["min_reliable_distmod"] = np.where(index >= 0, -np.inf, np.nan)
        return flags


@contextlib.contextmanager
def _value_errors():
    """What dustmaps calls a ValueError is one."""
    try:
        yield
    except ExtmapError as error:
        raise QueryError(str(error)) from None
