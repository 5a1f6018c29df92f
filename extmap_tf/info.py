"""Plain words about any file this software writes."""

from extmap_tf.catalogs.survey_tables import describe_table
from extmap_tf.config import Config, digest_of
from extmap_tf.errors import DataError
from extmap_tf.extinction.law import law_text, stated_rv
from extmap_tf.files import verify_checksums
from extmap_tf.model.card import CARD_NAME, ModelCard
from extmap_tf.model.versions import EXTRA, find_saved_model, path_or_shipped, versions
from extmap_tf.records.manifest import MANIFEST_NAME, Records, contents


def describe(path, verify=False):
    """Lines of text about records, a training folder, a SavedModel, a map or a table of stars.

    Parameters
    ----------
    path : path-like
    verify : bool
        Also check every checksum; DataError names what is damaged. Tables of stars carry none.

    Raises
    ------
    DataError
        Nothing there, or nothing of ours.
    """
    path = path_or_shipped(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if path.is_file():
        from extmap_tf.map import healpix

        if healpix.is_copy(path):
            return [str(path), *healpix.describe_copy(path, verify)]
        if _is_table(path):
            return [str(path), *_describe_table(path)]
        from extmap_tf.map.volume import ExtinctionMap

        return [str(path), *ExtinctionMap.read(path, verify=verify).describe()]
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
    raise DataError(f"{path}: neither records, nor a model, nor a map of extmap_tf")


def describe_report(manifest):
    """What became of the rows of the tables behind survey records."""
    report = manifest.report
    lines = [
        _line("rows", f"{report['rows']:,} in {report['tables']} table(s)"),
        _line("counted", f"{report['counted']:,} stars in the grid's fields"),
        _line("elsewhere", f"{report['in_no_field']:,} good stars in none of the fields"),
    ]
    for reason, n in sorted(report["rejected"].items(), key=lambda item: -item[1]):
        lines.append(_line("left out", f"{n:,}: {reason}"))
    return lines


def _is_table(path):
    """Whether a file is a table of stars; of two FITS files, the one without an image of ours."""
    with open(path, "rb") as stream:
        head = stream.read(2880 * 8)
    return not head.startswith(b"SIMPLE  =") or (b"EXTMAPV" not in head and b"BINTABLE" in head)


def _describe_table(path):
    survey = Config.named("carina").survey
    with open(path, "rb") as stream:
        kind, columns = describe_table(stream, str(path), survey)
    roles = ", ".join(f"{role} = {column}" for role, column in columns.items())
    return [
        _line("stars", f"a table 'records survey' can read: {kind}"),
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


def model_summary(card, what="SavedModel"):
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
    survey, law = config.survey, config.law
    return [
        ("configuration", f"{config.name} ({config.digest}), seed {config.seed}"),
        (
            "observation",
            f"{survey.name}, fields of {config.sightlines.field_deg:g} deg ({digest_of(config.observation)})",
        ),
        ("law", law_text(law.model, stated_rv(law))),
        ("distance", f"{config.distance.n_distances} bins of {config.distance.step_kpc:g} kpc"),
    ]


def _line(name, text):
    return f"{name:<14} {text}"
