"""Plain words about any file this software writes."""

import html

from extmap_tf.catalogs.survey_tables import OtherSurveyError, describe_table
from extmap_tf.errors import DataError
from extmap_tf.extinction.bands import quantity_of
from extmap_tf.extinction.law import law_text, stated_rv
from extmap_tf.files import PathLike, verify_checksums
from extmap_tf.formats import (
    COMPARISON,
    DEMO,
    DEMO_NAME,
    EVALUATION,
    FETCH,
    FETCH_NAME,
    FIT,
    FIT_NAME,
    MAP,
    MAP_NAME,
    PROFILES,
    REPORT,
    STEPS,
    STEPS_NAME,
)
from extmap_tf.json_files import JsonForm, read_bounded
from extmap_tf.model.card import CARD_NAME, ModelCard
from extmap_tf.model.versions import EXTRA, find_saved_model, path_or_shipped, versions
from extmap_tf.records.manifest import MANIFEST_NAME, Manifest, Records, contents
from extmap_tf.settings.config import Config, builtin_survey, survey_names
from extmap_tf.settings.identity import digest_of, require_readable

# What the parts of a folder of 'demo' or 'map' are, by pattern.
_PARTS = {
    "config.toml": "configuration",
    "mocks": "records of training pairs",
    "tests": "records of pairs to measure the errors on",
    "training": "training folder",
    "model": "SavedModel",
    "sky.parquet": "stars of the mock sky",
    "sky_*.parquet": "stars of the mock sky in a further survey",
    "survey": "records of the sky's fields",
    "survey_*": "records of the sky's fields from one survey",
    "truth.fits": "map of the true dust",
    "map.fits": "map by the model",
    "map_by_*.fits": "map by a shipped model",
    "map_from_*.fits": "map by the model from one survey",
    "figures": "figures of the map",
    "report.html": "report on the map",
    STEPS_NAME: "steps that are done, seconds",
    DEMO_NAME: "errors against the truth, seconds, counts",
    MAP_NAME: "errors on mock pairs, seconds, counts",
}


def describe(path: PathLike, verify: bool = False) -> list[str]:
    """Lines of text about anything that extmap_tf writes, or a table of stars that it could read.

    Parameters
    ----------
    path : path-like
        Records, a training folder, a SavedModel, a map or a copy of one, a configuration, numbers of
        ``evaluate``, ``compare`` or ``fit`` (JSON), a table of clouds, a report, a folder of ``demo``,
        ``map``, ``fit`` or ``fetch``, or a table of stars.
    verify : bool
        Also check every checksum; DataError names what is damaged. Only records, models, maps and copies
        carry any.

    Raises
    ------
    DataError
        Nothing there, or nothing of ours.
    """
    path = path_or_shipped(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if path.is_file():
        return [str(path), *_describe_file(path, verify)]
    if (path / MANIFEST_NAME).exists():
        records = Records.open(path)
        if verify:
            records.verify()
        return [str(path), *_describe_records(records)]
    if (path / CARD_NAME).exists():
        if verify:
            verify_checksums(path)
        return [str(path), *_describe_model(ModelCard.read(path), "training folder")]
    if (path / "saved_model.pb").exists() or versions(path):
        folder, card = find_saved_model(path)
        if verify:
            verify_checksums(folder, EXTRA)
        return [str(folder), *_describe_model(card, "SavedModel")]
    for name in (DEMO_NAME, MAP_NAME):
        if (path / name).is_file():
            return [str(path), *_describe_parts(path, name, verify)]
    for name in (STEPS_NAME, FETCH_NAME, FIT_NAME):
        if (path / name).is_file():
            return [str(path), *_describe_json(path / name)]
    if not path.is_dir():
        raise DataError(f"{path}: neither a file nor a folder")
    raise DataError(
        f"{path}: not a folder that info knows: neither records, nor a model, nor a fit, nor of "
        "fetch, map or demo"
    )


def _describe_file(path, verify):
    from extmap_tf.map import copies, exports
    from extmap_tf.map.formats import format_of

    with open(path, "rb") as stream:
        head = stream.read(2880 * 8)
    suffix = path.suffix.lower()
    if copies.is_copy(path):
        return copies.describe_copy(path, verify)
    # CSV and VOTable keep no format beside the columns.
    if b"mass_low_msun" in head:
        return _describe_clouds(path)
    if REPORT.encode() in head:
        return _describe_html(path)
    if suffix == ".toml":
        return [_line("configuration", "of extmap_tf"), *_describe_config(Config.load(path))]
    if suffix == ".json":
        return _describe_json(path)
    if suffix in (".vot", ".parquet") and _has_profiles(path, head):
        return _describe_profiles(path)
    if exports.is_export(head):
        return exports.describe_export(path, verify)
    # Of two FITS files, a table of stars is the one without an image of ours.
    if format_of(head) and (b"EXTMAPV" in head or b"BINTABLE" not in head):
        from extmap_tf.map.volume import ExtinctionMap

        return ExtinctionMap.read(path, verify=verify).describe()
    try:
        return _describe_table(path)
    except DataError as error:
        reason = str(error).removeprefix(f"{path}: ").replace("--column", "'records survey --column'")
        raise DataError(f"{path}: not a file that info knows; as a table of stars: {reason}") from None


def _describe_json(path):
    text = read_bounded(path)
    try:
        kind = _ANY.parse(text, str(path))["format"]
    except DataError as error:
        raise DataError(f"{error}; not a file that info knows, or one of version 0.3.0") from None
    if kind not in _FORMS:
        raise DataError(f"{path}: not a file that info knows; of records or a model give the folder")
    form, lines_of = _FORMS[kind]
    found = form.parse(text, str(path))
    lines = [*lines_of(found)]
    if found.get("of"):
        lines.append(_line("of", ", ".join(found["of"])))
    if found.get("config_name"):
        lines.append(_line("configuration", f"{found['config_name']} ({found['config_digest']})"))
    if found.get("model_digest"):
        lines.append(_line("model", found["model_digest"]))
    return [*lines, _line("software", f"extmap_tf {found['software_version']}")]


def _fit(found):
    return [_line("fit", f"of {len(found['sightlines'])} CMDs: {found['quantity']}")]


def _evaluation(found):
    return [_line("errors", "of an estimate against the truth, by 'evaluate'"), *_errors(found)]


def _comparison(found):
    yield _line("comparison", f"of a map's {quantity_of(found['band'])} in mag with {found['other']}")
    for row in found["rows"]:
        yield _line("", f"{row['n']} positions at {row['distance_kpc']:g} kpc")


def _demo(found):
    return [_line("demo", f"{found['quantity']}; {found['stars']:,} stars"), *_errors(found["errors"])]


def _map(found):
    told = f"{found['quantity']}, by {found['model']}; {found['stars']:,} stars"
    return [_line("map", told), *_errors(found["errors"], "mock pairs")]


def _steps(found):
    yield _line(found["what"], "not finished; start it again with the same options to go on")
    for name, seconds in found["seconds"].items():
        yield _line("done", f"{name}, {seconds:g} s")


def _fetched(found):
    yield _line("stars", f"{found['rows']:,} of {found['survey']} in {len(found['files'])} files, by 'fetch'")
    yield _line("service", f"{found['service']}, table {found['table']}")
    dates = sorted(file["date"] for file in found["files"])
    yield _line("fetched", f"{dates[0]} to {dates[-1]}")


def _errors(evaluation, of="sightlines"):
    """Errors over all sightlines of a dict from `Evaluation.to_dict`."""
    for row in evaluation["overall"]:
        if row["mean_absolute_error_mag"] is not None:
            mean = f"mean absolute error {row['mean_absolute_error_mag']:.4f} mag"
            yield _line("", f"at {row['distance_kpc']:g} kpc {mean}, {row['n']} {of}")


def _describe_clouds(path):
    from extmap_tf.map.table_query import read_table

    table = read_table(path)
    about = {key.upper(): value for key, value in table.meta.items()}
    require_readable(about, str(path))
    lines = [
        _line("clouds", f"{len(table)}, by 'clouds'"),
        _line(
            "columns", ", ".join(f"{c.name} ({c.unit})" if c.unit else c.name for c in table.columns.values())
        ),
    ]
    # CSV has no room for them.
    for name, key in (("band", "BAND"), ("model", "MODEL_NAME"), ("software", "SOFTWARE")):
        if about.get(key):
            lines.append(_line(name, about[key]))
    return lines


def _has_profiles(path, head):
    if path.suffix.lower() == ".vot":
        return PROFILES.encode() in head
    import pyarrow
    from pyarrow import parquet

    try:
        metadata = parquet.read_schema(path).metadata or {}
    except (OSError, pyarrow.ArrowException):
        return False
    return any(PROFILES.encode() in value for value in metadata.values())


def _describe_profiles(path):
    from extmap_tf.map.table_query import read_table

    table = read_table(path)
    names = ", ".join(column.name for column in table.columns.values())
    return [_line("profiles", f"of a map, by 'convert': {len(table):,} rows"), _line("columns", names)]


def _describe_html(path):
    text = path.read_text(encoding="utf-8", errors="replace")
    if not text.rstrip().endswith("</html>"):
        raise DataError(f"{path}: a report that is cut short: make it again")
    part = "with" if 'id="explorer-data"' in text else "without"
    title = html.unescape(text.split("<title>")[1].split("</title>")[0])
    return [
        _line("report", f"{title}; {part} a part to explore"),
        _line("size", f"{path.stat().st_size / 1e6:.1f} MB, needs no other file; open it in a browser"),
    ]


def _describe_parts(folder, name, verify):
    lines = _describe_json(folder / name)
    for part in sorted(folder.iterdir(), key=lambda part: part.name):
        what = next((what for pattern, what in _PARTS.items() if part.match(pattern)), None)
        if verify and what and part.name != "figures":
            describe(part, verify=True)
        lines.append(_line("part", f"{part.name}: {what or 'of something else'}"))
    return lines


def describe_report(manifest: Manifest) -> list[str]:
    """What became of the rows of the tables behind survey records."""
    report = manifest.report
    lines = [
        _line("rows", f"{report['rows']:,} in {report['tables']} table{'s' * (report['tables'] != 1)}"),
        _line("counted", f"{report['counted']:,} stars in the grid's fields"),
        _line("elsewhere", f"{report['in_no_field']:,} good stars in none of the fields"),
    ]
    for reason, n in sorted(report["rejected"].items(), key=lambda item: -item[1]):
        lines.append(_line("left out", f"{n:,}: {reason}"))
    for survey, own in report.get("surveys", {}).items():
        lines.append(_line(survey, f"{own['rows']:,} rows, {own['counted']:,} stars in the grid's fields"))
    return lines


def _describe_table(path):
    """A table of the first built-in survey whose columns it has."""
    errors = []
    for name in survey_names():
        try:
            return _describe_stars(path, builtin_survey(name))
        except DataError as error:
            errors.append(error)
    raise next((error for error in errors if not isinstance(error, OtherSurveyError)), errors[0])


def _describe_stars(path, survey):
    with open(path, "rb") as stream:
        kind, columns = describe_table(stream, str(path), survey)
    roles = ", ".join(f"{role} = {column}" for role, column in columns.items())
    return [
        _line("stars", f"a table 'records survey' can read: {kind}, as of {survey.name}"),
        _line("columns", f"{roles} (blue is {survey.blue.name}, red {survey.red.name})"),
    ]


def _describe_records(records):
    manifest, config = records.manifest, records.manifest.config
    lines = [_line("records", {"mocks": "training pairs", "survey": "fields of a survey"}[manifest.kind])]
    for split, shards in manifest.splits.items():
        lines.append(_line(split, f"{manifest.n_examples(split):,} examples in {len(shards)} shard(s)"))
    lines += [_line(name, text) for name, text in contents(config, manifest.kind).items()]
    if manifest.kind == "survey":
        lines += describe_report(manifest)
    lines += _describe_config(config)
    return [*lines, _line("software", f"extmap_tf {manifest.software_version}")]


def _describe_model(card, what):
    return [_line(name, text) for name, text in model_summary(card, what)]


def model_summary(card: ModelCard, what: str = "SavedModel") -> list[tuple[str, str]]:
    """What a model is, as a list of (name, text).

    Parameters
    ----------
    card : ModelCard
    what : str
        In which form it is.
    """
    config = card.config
    numbers = {name: value for name, value in card.training.items() if isinstance(value, int | float)}
    training = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in numbers.items())
    if card.training.get("spread"):
        training += ", spread fitted to the validation pairs"
    return [
        ("model", f"{what}, {config.network.preset}, {card.n_weights:,} weights, digest {card.digest}"),
        ("training", training),
        ("records", card.records_digest),
        *_config_summary(config),
        ("software", f"extmap_tf {card.software_version}"),
    ]


def _describe_config(config):
    return [_line(name, text) for name, text in _config_summary(config)]


def _config_summary(config):
    surveys, law = ", ".join(survey.name for survey in config.surveys), config.law
    where, how_finely = config.sightlines.summary()
    return [
        ("configuration", f"{config.name} ({config.digest}), seed {config.seed}"),
        ("sightlines", f"{how_finely}; {where}"),
        (
            "observation",
            f"{surveys}, fields of {config.sightlines.field_deg:g} deg ({digest_of(config.observation)})",
        ),
        ("law", law_text(law.model, stated_rv(law))),
        ("distance", f"{config.distance.n_distances} bins of {config.distance.step_kpc:g} kpc"),
    ]


def _line(name, text):
    return f"{name:<14} {text}"


_ABOUT = {"software_version": str}
_ERRORS = {"overall": [{"n": int, "distance_kpc": float, "mean_absolute_error_mag": (float, None)}]}

# Every JSON file of ours that is no part of records or of a model.
_ANY = JsonForm("JSON file", {"format": str}, readable=require_readable)
_FORMS = {
    kind: (JsonForm(kind.removeprefix("extmap_tf "), _ABOUT | schema, file_format=kind), lines_of)
    for kind, schema, lines_of in (
        (FIT, {"sightlines": [dict], "quantity": str}, _fit),
        (EVALUATION, _ERRORS, _evaluation),
        (
            COMPARISON,
            {"band": str, "other": str, "rows": [{"n": int, "distance_kpc": float}]},
            _comparison,
        ),
        (DEMO, {"quantity": str, "stars": int, "errors": _ERRORS}, _demo),
        (MAP, {"quantity": str, "model": str, "stars": int, "errors": _ERRORS}, _map),
        (STEPS, {"what": str, "seconds": {str: float}}, _steps),
        (
            FETCH,
            {"rows": int, "survey": str, "service": str, "table": str, "files": [{"date": str}]},
            _fetched,
        ),
    )
}
