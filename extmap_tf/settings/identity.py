"""Digests that stay as they are when the software learns new options, and the number of a file's schema.

A digest is over the fields of schema 1 and their values. A field that was added later is left out while it
holds the value that means "as before": by default its default, else the one that its metadata name,
``field(default=2.0, metadata={"as_before": 1.0})``. So records, models and maps made before a new option
keep their digests and still open; with the option used, the digest is another. A value that a field has
learned may count as an older one: metadata ``counts_as`` is a mapping of such values.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from extmap_tf.errors import DataError, MismatchError

SCHEMA = 2
"""Of the files that this software writes; those that state none are of schema 1 (extmap_tf up to 0.3.0)."""

AS_BEFORE = "as_before"
"""Key of a field's metadata: the value that means what files without the field meant."""
COUNTS_AS = "counts_as"
"""Key of a field's metadata: values that count as others."""


def _leaves(section: str, names: str) -> set[str]:
    return {f"{section}.{name}" if section else name for name in names.split()}


# Frozen: a field that is not here was added after schema 1. Do not add to it, do not take from it.
_SCHEMA_1 = frozenset().union(
    _leaves("", "name survey sightlines mocks seed cmd distance law profiles galaxy nuisances dust network"),
    _leaves("", "training"),
    _leaves("survey", "name blue red crowding cuts"),
    *(
        _leaves(
            f"survey.{band}",
            "name wavelength_um error_floor_mag snr10_mag half_complete_mag completeness_scale_mag",
        )
        for band in ("blue", "red")
    ),
    _leaves("survey.crowding", "limit_mag log10_stars_per_deg2 loss_mag_per_dex"),
    _leaves("survey.cuts", "max_error_mag bright_mag ph_qual_keep cc_flg_keep"),
    _leaves("sightlines", "l_min_deg l_max_deg b_min_deg b_max_deg step_deg field_deg nside regions"),
    _leaves("sightlines.regions", "l_min_deg l_max_deg b_min_deg b_max_deg l_deg b_deg radius_deg"),
    _leaves("mocks", "l_deg b_deg catalogs n_pairs validation_fraction test_fraction split_salt pool_fields"),
    _leaves("mocks", "reference_step_deg"),
    _leaves("mocks.catalogs", "path l_deg b_deg area_deg2 system columns sha256"),
    _leaves("cmd", "color_min_mag color_max_mag mag_min_mag mag_max_mag n_color n_mag"),
    _leaves("distance", "step_kpc n_distances"),
    _leaves("law", "model rv blue_over_red"),
    _leaves("profiles", "total_min_mag total_max_mag spectral_index_min spectral_index_max log_sigma_min"),
    _leaves("profiles", "log_sigma_max scale_height_min_kpc scale_height_max_kpc clouds_mean"),
    _leaves("profiles", "cloud_fwhm_min_kpc cloud_fwhm_max_kpc cloud_fraction_min cloud_fraction_max"),
    _leaves("profiles", "patchiness_max"),
    _leaves("galaxy", "spiral_arms binary_fraction"),
    _leaves("nuisances", "color_sigma_mag mag_sigma_mag depth_sigma_mag count_sigma luminous_sigma"),
    _leaves("nuisances", "distance_sigma law_ratio_sigma"),
    _leaves("dust", "local_mag_per_kpc scale_length_kpc scale_height_kpc arm_contrast arm_width_kpc"),
    _leaves("dust", "pitch_deg clouds_per_deg2 cloud_mag_median cloud_radius_kpc"),
    _leaves("network", "preset rank"),
    _leaves("training", "batch_size epochs patience_epochs learning_rate warmup_fraction weight_decay"),
    _leaves("training", "precision shuffle_buffer"),
)

# Fields of schema 1 that not every class of a section has any more, with the values that they count with.
_GONE = {"network": {"rank": 8}}


def identifying(section: Any, place: str = "") -> dict[str, Any]:
    """The values of a section that identify it: without later fields that mean "as before".

    Parameters
    ----------
    section : dataclass
        A section of the configuration, or all of it.
    place : str
        Its dotted name in the configuration, such as ``survey.cuts``; empty for all of it.

    Returns
    -------
    dict
        Nested, of JSON-able values.
    """
    values = dict(_GONE.get(place, {}))
    for spec in dataclasses.fields(section):
        key, value = f"{place}.{spec.name}" if place else spec.name, getattr(section, spec.name)
        if key in _SCHEMA_1 or value != as_before(spec):
            counts_as = spec.metadata.get(COUNTS_AS)
            values[spec.name] = _identifying_value(counts_as.get(value, value) if counts_as else value, key)
    return values


def without_gone(data: dict[str, Any], cls: type, place: str) -> dict[str, Any]:
    """The values that a file states of a section, without those of schema 1 that its class has no more."""
    own = {spec.name for spec in dataclasses.fields(cls)}
    return {name: value for name, value in data.items() if name in own or name not in _GONE.get(place, {})}


def as_before(spec: dataclasses.Field) -> Any:
    """The value of a later field that means what files without it meant; MISSING where there is none."""
    if AS_BEFORE in spec.metadata:
        return spec.metadata[AS_BEFORE]
    if spec.default_factory is not dataclasses.MISSING:
        return spec.default_factory()
    return spec.default


def _identifying_value(value, key):
    if dataclasses.is_dataclass(value):
        return identifying(value, key)
    if isinstance(value, tuple | list):
        return [_identifying_value(item, key) for item in value]
    return value


def digest_of(value: Any) -> str:
    """12 hexadecimal digits that identify a JSON-able value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def require_readable(about: Mapping[str, Any], place: str) -> None:
    """Raise DataError unless a file's schema is one that this software knows.

    Parameters
    ----------
    about : mapping
        With ``schema``, or ``SCHEMA`` in FITS headers; a file without it is of schema 1.
    place : str
        Names the file in the error.
    """
    schema = about.get("schema", about.get("SCHEMA", 1))
    if type(schema) is not int or schema < 1:
        raise DataError(f"{place}: schema must be a number from 1 on, got: {schema!r}")
    if schema > SCHEMA:
        raise DataError(
            f"{place}: its schema is {schema}, this extmap_tf knows those up to {SCHEMA}: update extmap_tf"
        )


def require_same(part: str, first: Any, first_name: str, second: Any, second_name: str) -> None:
    """Raise MismatchError, naming both and the first value that differs, unless two parts are equal.

    Parameters
    ----------
    part : str
        What is compared, for the message.
    first, second : dict
        Nested dicts of values.
    first_name, second_name : str
        Where they come from.
    """
    difference = _first_difference(_plain(first), _plain(second), "")
    if difference:
        key, a, b = difference
        has = [f"{key} = {a!r}", f"{b!r}"]
        if isinstance(a, dict) or isinstance(b, dict):
            # One lacks it: the name tells more than all its values.
            has = [key if isinstance(value, dict) else f"no {key}" for value in (a, b)]
        raise MismatchError(
            f"{part} differs: {first_name} ({digest_of(first)}) has {has[0]}, "
            f"{second_name} ({digest_of(second)}) has {has[1]}; make both with one configuration"
        )


def _plain(value):
    return json.loads(json.dumps(value))


def _first_difference(a, b, key):
    if isinstance(a, dict) and isinstance(b, dict):
        for name in sorted(a.keys() | b.keys()):
            found = _first_difference(a.get(name), b.get(name), f"{key}.{name}" if key else name)
            if found:
                return found
        return None
    return None if a == b else (key, a, b)
