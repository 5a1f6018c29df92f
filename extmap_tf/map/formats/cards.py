"""What the FITS files of maps say: images or columns, keywords, flags; the same for every format."""

import typing
from typing import Any, NamedTuple

from astropy.io import fits

from extmap_tf.estimate import AXES, SIGHTLINE_FLAGS
from extmap_tf.extinction.bands import quantity_of
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.grids.healpix import HealpixGrid
from extmap_tf.grids.regions import SkyRegion
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.map.header import MapHeader
from extmap_tf.map.layers import DERIVED_AXES
from extmap_tf.map.provenance import Provenance
from extmap_tf.settings.identity import SCHEMA


class Part(NamedTuple):
    """One image, or column, of a map's file.

    Parameters
    ----------
    layer : str
        Name of the layer.
    axes : tuple of str
        Beside the sky's, as in `extmap_tf.estimate.AXES` and `extmap_tf.map.layers.DERIVED_AXES`.
    unit, quantity : str
    """

    layer: str
    axes: tuple[str, ...]
    unit: str
    quantity: str


_ALWAYS = {
    "EXTINCTION": ("extinction_median", "mag", "{shown} from the Sun to the outer edge of the bin"),
    "DENSITY": ("density_median", "mag/kpc", "{shown} per kpc inside the bin"),
    "COVERAGE": ("coverage", "", "fraction of the field that has data"),
    "NSTARS": ("n_stars", "", "stars in the field"),
    "FLAG": ("flag", "", "sum of the bits that apply; 0 is good"),
}
_OF_A_SPREAD = {
    f"{name}_{statistic.upper()}": (f"{name.lower()}_{statistic}", unit, f"{text} of {name}")
    for name, unit in (("EXTINCTION", "mag"), ("DENSITY", "mag/kpc"))
    for statistic, text in (
        ("mean", "mean"),
        ("std", "standard deviation"),
        ("percentiles", "percentiles"),
    )
}
DERIVED = {
    "RELIABLE": ("reliable", "", "1 where EXTINCTION is known to 20 % or 0.05 mag"),
    "RELIABLE_DISTANCE": ("reliable_distance_kpc", "kpc", "reliable there and over 80 % of the way"),
}
_OF_SURVEYS = {
    "SURVEYS": ("surveys", "", "sum of 2^i of the surveys in SURVEY, i from 0, that have stars"),
    "ODD_SURVEYS": ("odd_surveys", "", "the same of those whose stars are unlike the training mocks"),
}
_OF_REFINED = {
    "EXTINCTION_COMMON_STD": (
        "extinction_common_std",
        "mag",
        "part of EXTINCTION_STD common to all fields; 0: not refined",
    )
}
_OF_SAMPLES = {"SAMPLES": ("samples", "mag", "equally likely profiles of EXTINCTION")}
_OF_WALLS = {
    "SMALLEST_WALL": ("smallest_wall", "mag", "{shown} of the smallest wall found there; NaN: not even large")
}
# Of what is not ">f4".
DTYPES = {"n_stars": ">i4", "flag": "u1", "reliable": "u1", "surveys": "u1", "odd_surveys": "u1"}

_PROVENANCE_KEYWORDS = {
    "KIND": ("kind", "estimate by a model, or truth of a mock sky"),
    "BAND": ("band", "band of the extinction"),
    "BLUEBAND": ("blue_band", "the other band"),
    "LAW": ("law_model", "extinction law"),
    "LAWRV": ("law_rv", "R(V) of the law; empty where it has none"),
    "BLUERED": ("blue_over_red", "A(BLUEBAND) / A(BAND), mean or as refined"),
    "BRSCAT": ("law_ratio_sigma", "scatter of BLUERED in the training, or error"),
    "BANDUM": ("band_um", "[um] wavelength of BAND"),
    "BLUEUM": ("blue_band_um", "[um] wavelength of BLUEBAND"),
    "SURVEY": ("survey", "whose stars"),
    "CONFIG": ("config_name", "configuration"),
    "CONFDIG": ("config_digest", "digest of the configuration"),
    "MODEL": ("model_name", "model"),
    "MODELDIG": ("model_digest", "digest of the model"),
    "RECDIG": ("records_digest", "digest of the training records"),
    "MODELIS": ("model_facts", "from the card of the model"),
    "OFFSETS": ("offsets", "of a refined map"),
    "SOFTWARE": ("software", "made by"),
}
# Left out where there is nothing to say.
_OPTIONAL = ("MODELIS", "BRSCAT", "OFFSETS")
_SIGHTLINE_KEYWORDS = {
    "LMIN": ("l_min_deg", "[deg] first longitude"),
    "LMAX": ("l_max_deg", "[deg] last longitude (may exceed 360)"),
    "BMIN": ("b_min_deg", "[deg] first latitude"),
    "BMAX": ("b_max_deg", "[deg] last latitude"),
    "SKYSTEP": ("step_deg", "[deg] between sightlines"),
    "FIELD": ("field_deg", "[deg] side of a field"),
}
_HEALPIX_KEYWORDS = {
    "SKYNSIDE": ("nside", "HEALPix resolution of the sightlines"),
    "NREGIONS": ("n_regions", "parts of the sky that sightlines are in"),
}
# Of region i, after R and i.
_REGION_KEYWORDS = {
    "LMIN": ("l_min_deg", "[deg] from this longitude"),
    "LMAX": ("l_max_deg", "[deg] to this one (may exceed 360)"),
    "BMIN": ("b_min_deg", "[deg] from this latitude"),
    "BMAX": ("b_max_deg", "[deg] to this one"),
    "L": ("l_deg", "[deg] and around this longitude"),
    "B": ("b_deg", "[deg] and this latitude"),
    "RAD": ("radius_deg", "[deg] within this radius"),
}
_DISTANCE_KEYWORDS = {
    "DSTEP": ("step_kpc", "[kpc] length of a distance bin"),
    "NDIST": ("n_distances", "distance bins, from 0"),
}


def about_cards(header: MapHeader) -> list[fits.Card]:
    """What every part of a file says of the map: origin, grids, percentiles, number of samples."""
    grid, percentiles = header.grid, header.percentiles
    cards = [card("SCHEMA", SCHEMA, "of extmap_tf's files")]
    cards += _cards(header.provenance, _PROVENANCE_KEYWORDS)
    if isinstance(grid, HealpixGrid):
        cards += _cards(grid, _HEALPIX_KEYWORDS)
        for number, region in enumerate(grid.regions, 1):
            cards += _cards(region, _region_keywords(number))
    else:
        cards += _cards(grid, _SIGHTLINE_KEYWORDS)
    cards += _cards(header.distance, _DISTANCE_KEYWORDS)
    cards.append(card("MINCOVER", float(header.min_coverage), "least coverage of an estimate"))
    cards.append(card("NPERC", len(percentiles), "percentiles in this file"))
    cards += [card(f"PERC{i}", float(p), "[%] percentile") for i, p in enumerate(percentiles, 1)]
    cards.append(card("NSAMPLES", header.n_samples, "samples of each profile in this file"))
    if header.wall_sigma:
        cards.append(card("WALLSIG", float(header.wall_sigma), "standard deviations of a wall that is found"))
    return cards


def _cards(owner, keywords):
    values = {key: (getattr(owner, name), text) for key, (name, text) in keywords.items()}
    return [card(key, *about) for key, about in values.items() if about[0] or key not in _OPTIONAL]


def _region_keywords(number):
    return {f"R{number}{key}": value for key, value in _REGION_KEYWORDS.items()}


def explain_flags(hdu: fits.hdu.base.ExtensionHDU) -> None:
    """Say in a header what the bits of a sightline's flag mean."""
    for flag in SIGHTLINE_FLAGS:
        hdu.header[f"BIT{flag.value}"] = (flag.name, flag.meaning)


def header_of(header: fits.Header) -> MapHeader:
    """The `MapHeader` that a FITS header tells."""
    return MapHeader(
        _healpix_grid(header)
        if "SKYNSIDE" in header
        else _from_header(SightlineGrid, header, _SIGHTLINE_KEYWORDS),
        _from_header(DistanceGrid, header, _DISTANCE_KEYWORDS),
        _from_header(Provenance, header, _PROVENANCE_KEYWORDS),
        _value(header, "MINCOVER", float),
        tuple(_value(header, f"PERC{i}", float) for i in range(1, 1 + _value(header, "NPERC"))),
        _value(header, "NSAMPLES"),
        _value(header, "WALLSIG", float) if "WALLSIG" in header else 0.0,
    )


def _healpix_grid(header):
    regions = (
        _from_header(SkyRegion, header, _region_keywords(number))
        for number in range(1, 1 + _value(header, "NREGIONS"))
    )
    return HealpixGrid(_value(header, "SKYNSIDE"), tuple(regions))


def parts_of(header: MapHeader, quantity: str = "") -> dict[str, Part]:
    """The images or columns of a map, by name; of a `quantity` other than that of its band."""
    named = dict(_ALWAYS)
    if header.percentiles:
        named |= _OF_A_SPREAD | DERIVED
        for name in ("EXTINCTION", "DENSITY"):
            layer, unit, text = named[name]
            named[name] = layer, unit, f"median of {text}"
    if header.tells_surveys:
        named |= _OF_SURVEYS
    if header.is_refined:
        named |= _OF_REFINED
    if header.n_samples:
        named |= _OF_SAMPLES
    if header.wall_sigma:
        named |= _OF_WALLS
    shown, axes = quantity or quantity_of(header.provenance.band), AXES | DERIVED_AXES
    return {
        name: Part(layer, axes.get(layer, ()), unit, text.format(shown=shown))
        for name, (layer, unit, text) in named.items()
    }


def card(keyword: str, value: Any, comment: str) -> fits.Card:
    if isinstance(value, float):
        # astropy cuts numbers at 20 characters; the grids must come back exactly.
        text = repr(float(value)).upper()
        return fits.Card.fromstring(f"{keyword:<8}= {text:>20} / {comment}")
    return fits.Card(keyword, value, comment)


def _from_header(cls, header, keywords):
    hints = typing.get_type_hints(cls)
    values = {}
    for keyword, (name, _) in keywords.items():
        if keyword in _OPTIONAL and keyword not in header:
            continue
        kinds = typing.get_args(hints[name]) or (hints[name],)
        # A keyword without a value stands for None.
        none = header[keyword] is None and type(None) in kinds
        values[name] = None if none else _value(header, keyword, kinds[0])
    return cls(**values)


def _value(header, keyword, kind=int):
    value = header[keyword]
    what = {int: "a whole number", float: "a number", str: "text"}[kind]
    fits_kind = isinstance(value, str) if kind is str else isinstance(value, int | float)
    if not fits_kind or isinstance(value, bool) or (kind is int and value != int(value)):
        raise ValueError(f"{keyword} must be {what}, got: {value!r:.60}")
    return kind(value)
