"""A client of the served model: positions and stars in, extinction profiles out."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from numpy.typing import ArrayLike

from extmap_tf.errors import DataError, ServingError
from extmap_tf.estimate import ProfileEstimate
from extmap_tf.model.card import ModelCard
from extmap_tf.model.known_answer import KnownAnswer
from extmap_tf.serving.channel import ModelAddress, UnavailableError, VersionStatus
from extmap_tf.serving.rest_channel import RestChannel
from extmap_tf.settings.survey import SurveyView

_SCHEMES = {"http": False, "https": True, "grpc": False, "grpcs": True}
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 5.0


@dataclass(frozen=True, eq=False)
class ServedProfiles:
    """The answer for a list of sightlines.

    Parameters
    ----------
    coords : astropy.coordinates.SkyCoord [n_sightlines]
        As they were given.
    distance : astropy.units.Quantity [n_distances]
        Outer edges of the bins, kpc.
    profiles : ProfileEstimate [n_sightlines]
        Extinction at `distance` in mag, its density inside the bins in mag/kpc. Of a network that gives one
        profile, that profile.
    n_ignored : ndarray of int [n_sightlines]
        Stars without a magnitude or too bright; of CMDs, pixels that held no count.
    n_stars, n_outside : ndarray of int [n_sightlines], or None
        Stars in the CMD of the first survey and outside it; None where CMDs were sent.
    odd_surveys : ndarray of int [n_sightlines], or None
        Of a model of several surveys: bit i is set where the stars of survey i are unlike the training mocks.
    """

    coords: SkyCoord
    distance: u.Quantity
    profiles: ProfileEstimate
    n_ignored: np.ndarray
    n_stars: np.ndarray | None = None
    n_outside: np.ndarray | None = None
    odd_surveys: np.ndarray | None = None


class ModelClient:
    """A model behind TensorFlow Serving.

    Parameters
    ----------
    url : str
        ``http://HOST:8501`` or ``https://`` for REST, ``grpc://HOST:8500`` or ``grpcs://`` for gRPC; the
        latter needs ``extmap_tf[serving]`` and is several times faster for large requests.
    model : str
        Name that the server knows the model by.
    version : int, optional
        By default the newest.
    timeout_s : float
        For each request.
    retries : int
        How often to ask again where the server cannot be reached or is not ready, after 0.2 s, 0.4 s, ...
    batch_size : int
        Most sightlines in a request; longer lists are sent as several.

    Raises
    ------
    ServingError
        From every method: a server that is not there, is late, refuses, or is none of ours; one line.
    """

    def __init__(
        self,
        url: str,
        model: str = "extmap",
        version: int | None = None,
        timeout_s: float = 30.0,
        retries: int = 4,
        batch_size: int = 256,
    ) -> None:
        try:
            parts = urlsplit(url)
            known = parts.scheme in _SCHEMES and parts.hostname and parts.port != 0
        except ValueError:
            # Brackets that do not close, or a port that is no port.
            known = False
        if not known or parts.path.strip("/"):
            raise ServingError(
                f"{url}: not the address of a model server: give http://HOST:8501 or grpc://HOST:8500"
            )
        if not (timeout_s > 0 and retries >= 0 and batch_size >= 1):
            raise ServingError(
                f"timeout_s must be above 0, retries 0 or more and batch_size 1 or more, got: {timeout_s}, "
                f"{retries}, {batch_size}"
            )
        address = ModelAddress(url, parts.netloc, _SCHEMES[parts.scheme], model, version)
        self.address, self.timeout_s = address, timeout_s
        self._retries, self._batch_size = retries, batch_size
        self._known_views: tuple[SurveyView, ...] | None = None
        self._channel = _grpc_channel(address) if parts.scheme.startswith("grpc") else RestChannel(address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._channel.close()

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs of any signature, as arrays by name, for arrays by name."""
        return self._patiently(self._channel.predict, signature, inputs)

    def status(self) -> list[VersionStatus]:
        """State of the model's versions, a list of `extmap_tf.serving.channel.VersionStatus`."""
        return self._patiently(self._channel.status)

    def signatures(self) -> dict[str, tuple[set[str], set[str]]]:
        """Names of inputs and outputs of the signatures, dict of str to (set, set)."""
        return self._patiently(self._channel.signatures)

    def metadata(self) -> tuple[ModelCard, KnownAnswer]:
        """What the model says of itself.

        Returns
        -------
        card : extmap_tf.model.card.ModelCard
        known : extmap_tf.model.known_answer.KnownAnswer
        """
        found = self.predict("metadata", {"rows": np.zeros(1, np.int32)})
        try:
            card, known = (_text(found[name]) for name in ("card", "known_answer"))
        except (KeyError, IndexError):
            raise ServingError(f"{self.address}: not a model of 'extmap-tf export'") from None
        place = f"metadata of {self.address}"
        return ModelCard.from_json(card, place), KnownAnswer.from_json(known, place)

    def profiles_of_stars(
        self, coords: SkyCoord, blue_mag: Sequence[ArrayLike], red_mag: Sequence[ArrayLike]
    ) -> ServedProfiles:
        """Profiles from the stars of each field; the server counts them.

        Send the stars that pass the survey's cuts, as `extmap_tf.catalogs.cuts.apply_cuts` makes them: the
        server applies only those that need no errors and flags (no magnitude, too bright). Give upper limits
        as NaN.

        Parameters
        ----------
        coords : astropy.coordinates.SkyCoord [n_sightlines]
            Centres of the fields, in any frame.
        blue_mag, red_mag : sequence of array_like [n_sightlines]
            Magnitudes (J and Ks for 2MASS) of the stars of each field; plain numbers or Quantities in mag.

        Returns
        -------
        ServedProfiles
        """
        blue, red = ([_magnitudes(stars) for stars in rows] for rows in (blue_mag, red_mag))
        if len(blue) != len(red) or any(map(np.not_equal, map(len, blue), map(len, red))):
            raise ServingError("blue_mag and red_mag must hold as many stars in each sightline")

        def inputs(rows):
            n_stars = np.array([len(stars) for stars in blue[rows]], np.int64)
            return {"blue_mag": _padded(blue[rows]), "red_mag": _padded(red[rows]), "n_stars": n_stars}

        # Of the two signatures for stars, a server that batches answers this one alone.
        return self._profiles("magnitudes_padded", coords, len(blue), inputs)

    def profiles_of_surveys(
        self,
        coords: SkyCoord,
        stars: Mapping[str, Mapping[str, Sequence[ArrayLike]]],
        coverage: Mapping[str, ArrayLike] | None = None,
    ) -> ServedProfiles:
        """Profiles from the stars that one or more surveys have in each field; no star is matched.

        Parameters
        ----------
        coords : astropy.coordinates.SkyCoord [n_sightlines]
            Centres of the fields, in any frame.
        stars : mapping of str to mapping of str to sequence of array_like [n_sightlines]
            By the key of the survey (``2mass``, ``gaia_dr3``) and the name of the band, or ``parallax``, the
            stars of each field, as in `profiles_of_stars`. Surveys of the model that are not named are not
            there.
        coverage : mapping of str to array_like [n_sightlines], optional
            Share of each field that a survey covers, by its key; 0 where it is not there, else 1.

        Returns
        -------
        ServedProfiles
        """
        views = self._views()
        self._require_surveys(views, {**stars, **(coverage or {})})
        shares = dict(coverage or {})
        columns: dict[str, list[np.ndarray]] = {}
        for view in views:
            given = stars.get(view.survey.key)
            if given is None:
                continue
            for name, band in view.star_inputs.items():
                if band not in given:
                    raise ServingError(f"stars of {view.survey.key} need {band}, got: {', '.join(given)}")
                columns[name] = [_magnitudes(row) for row in given[band]]
            lengths = [list(map(len, columns[name])) for name in view.star_inputs]
            if any(other != lengths[0] for other in lengths):
                raise ServingError(
                    f"the columns of {view.survey.key} must hold as many stars in each sightline"
                )
        numbers = {len(rows) for rows in columns.values()}
        if len(numbers) != 1:
            raise ServingError("give the stars of one survey or more, all of as many sightlines")
        (n,) = numbers
        several = len(views) > 1

        def inputs(rows):
            found: dict[str, np.ndarray] = {}
            for view in views:
                names, n_rows = list(view.star_inputs), len(range(n)[rows])
                if names[0] not in columns:
                    found |= view.no_stars(n_rows)
                    continue
                found |= {name: _padded(columns[name][rows]) for name in names}
                found[view.named("n_stars")] = np.array(
                    [len(row) for row in columns[names[0]][rows]], np.int64
                )
                if several:
                    found[view.named("coverage")] = _shares(shares.get(view.survey.key, 1.0), n)[rows]
            return found

        signature = "surveys_magnitudes_padded" if several else "magnitudes_padded"
        return self._profiles(signature, coords, n, inputs)

    def _views(self):
        """The surveys that the model knows, asked once."""
        if self._known_views is None:
            self._known_views = self.metadata()[0].config.views
        return self._known_views

    def _require_surveys(self, views, given):
        known = [view.survey.key for view in views]
        if unknown := [key for key in given if key not in known]:
            raise ServingError(f"{self.address}: the model knows no {unknown[0]}, only {', '.join(known)}")

    def profiles_of_cmds(self, coords: SkyCoord, counts: ArrayLike) -> ServedProfiles:
        """Profiles from the CMDs of the first survey.

        Parameters
        ----------
        coords : astropy.coordinates.SkyCoord [n_sightlines]
            Centres of the fields, in any frame.
        counts : array_like [n_sightlines, n_mag, n_color]
            Stars in each pixel, as `extmap_tf.diagrams.count_stars` counts them.

        Returns
        -------
        ServedProfiles
        """
        counts = np.asarray(counts, np.float32)
        if counts.ndim != 3:
            raise ServingError(f"counts must have three axes (sightline, mag, color), got: {counts.shape}")
        return self._profiles("serving_default", coords, len(counts), lambda rows: {"counts": counts[rows]})

    def _profiles(self, signature, coords, n, inputs):
        galactic = SkyCoord(coords).galactic
        l_deg, b_deg = (np.atleast_1d(angle.deg).astype(np.float32) for angle in (galactic.l, galactic.b))
        if l_deg.shape != (n,):
            raise ServingError(f"{n} sightlines of stars but {l_deg.size} positions: give one for each")
        if n == 0:
            raise ServingError("no sightlines: give at least one")
        parts = []
        for start in range(0, n, self._batch_size):
            rows = slice(start, start + self._batch_size)
            parts.append(
                self.predict(signature, {**inputs(rows), "l_deg": l_deg[rows], "b_deg": b_deg[rows]})
            )
        try:
            found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
            return _answer(coords, found)
        except (KeyError, DataError) as error:
            what = error if isinstance(error, DataError) else f"no output {error}: not a model of ours"
            raise ServingError(f"{self.address}: {what}") from None

    def _patiently(self, ask, *args):
        for attempt in range(self._retries + 1):
            try:
                return ask(*args, self.timeout_s)
            except UnavailableError as error:
                if attempt == self._retries:
                    raise ServingError(f"{error} (asked {attempt + 1} times)") from None
            time.sleep(min(_FIRST_WAIT_S * 2**attempt, _LONGEST_WAIT_S))
        raise AssertionError


def _grpc_channel(address):
    from extmap_tf.quiet import start_tensorflow

    start_tensorflow()
    try:
        from extmap_tf.serving.grpc_channel import GrpcChannel
    except ModuleNotFoundError as error:
        raise ServingError(
            f"{address}: gRPC needs {error.name}: pip install 'extmap_tf[serving]', or give http://HOST:8501"
        ) from None
    return GrpcChannel(address)


def _answer(coords, found):
    return ServedProfiles(
        coords,
        found["distance_kpc"][0] * u.kpc,
        ProfileEstimate.from_outputs(found),
        n_ignored=found["n_ignored"],
        n_stars=found.get("n_stars"),
        n_outside=found.get("n_outside"),
        odd_surveys=found.get("odd_surveys"),
    )


def _magnitudes(stars):
    if isinstance(stars, u.Quantity):
        stars = stars.to_value(u.mag)
    return np.atleast_1d(np.asarray(stars, np.float32)).ravel()


def _shares(share, n):
    try:
        return np.broadcast_to(np.asarray(share, np.float32), (n,))
    except ValueError:
        raise ServingError(f"coverage must be one number, or one for each of {n} sightlines") from None


def _padded(rows):
    padded = np.zeros((len(rows), max(map(len, rows))), np.float32)
    for row, stars in zip(padded, rows, strict=True):
        row[: len(stars)] = stars
    return padded


def _text(value):
    text = np.asarray(value).ravel()[0]
    return text.decode() if isinstance(text, bytes) else str(text)
