"""What damage does to the readers of all that this software writes, and of configurations.

    python tests/benchmarks/campaign_files.py --work /tmp/campaign --number 20000

Records, a training, a SavedModel, a map, its copies, clouds, errors, a report and configurations are made
by `campaign.py`'s commands. One file of them is damaged at random (seeded), as in `mutations.py`, or a value
in its JSON or TOML is replaced; then it is read as the commands read it: described, described with
``--verify``, opened. Counted as in `mutations.py`.
"""

import argparse
import functools
import os
import random
import re
import shutil
import tempfile
from pathlib import Path

from campaign_jobs import CONFIG, make_inputs
from mutations import campaign, damaged, tell

# Inputs of `campaign_jobs.make_inputs`, and the files in those that are folders.
NAMES = {
    "mocks": ("manifest.json", "reference.fits", "train-00000-of-*", "validation-*"),
    "survey": ("manifest.json", "all-00000-of-*"),
    "training": ("model.json", "domain.npz", "config.toml", "SHA256SUMS", "model.keras"),
    "model": (
        *("1/saved_model.pb", "1/variables/variables.index", "1/variables/variables.data-*"),
        *("1/assets.extra/model.json", "1/assets.extra/SHA256SUMS", "1/assets.extra/known_answer.json"),
    ),
    "map.fits": (),
    "copy.fits": (),
    "copy.h5": (),
    "clouds.ecsv": (),
    "errors.json": (),
    "report.html": (),
    "tiny.toml": (),
    "whole.toml": (),
}
VALUES = [
    *("0", "-1", "1e400", "nan", "NaN", "inf", "null", "true", '""', '"x"', "[]", "{}", "[[1]]", "9" * 5000),
    *(
        '"/dev/zero"',
        r'"\u0000"',
        r'"\ud800"',
        "[" * 100_000,
        '"' + "x" * 70_000 + '"',
        "1e9",
        "1.5",
        '"2mass"',
    ),
]
VALUE = re.compile(r'(?<=[:=])\s*(-?[\d.]+(?:e[-+]?\d+)?|"[^"]*"|\[[^\]\[]*\]|true|false|null)')


def attacked(content, rng):
    """The content with a damage, or, of text, another value somewhere."""
    if rng.random() < 0.5 and b"\0" not in content:
        text = content.decode("utf-8", "replace")
        found = list(VALUE.finditer(text))
        if found:
            one = rng.choice(found)
            return (text[: one.start()] + " " + rng.choice(VALUES) + text[one.end() :]).encode()
    return damaged(content, rng)


def read(path, name, rng):
    """Read an input as a command does."""
    from extmap_tf.info import describe

    ways = [describe, functools.partial(describe, verify=True)]
    kind = name.split("/")[0]
    if kind.endswith(".toml"):
        ways = [_configuration]
    elif kind in OPENED:
        ways.append(OPENED[kind])
    rng.choice(ways)(path)


def _configuration(path):
    from extmap_tf.settings.reference import configuration_text

    configuration_text(str(path))


def _read_map(path):
    from extmap_tf.map.volume import ExtinctionMap

    volume = ExtinctionMap.read(path)
    volume.query_gal(285.0, 0.1, 2.0)
    volume.query_gal(285.0, 0.1, mode="percentile", percentile=[16, 84])
    str(volume)


def _read_records(path):
    from extmap_tf.records.manifest import Records

    records = Records.open(path)
    if records.manifest.kind == "mocks":
        records.reference()
    from extmap_tf.records.dataset import evaluation_dataset, survey_fields

    if records.manifest.kind == "mocks":
        for _ in evaluation_dataset(records, "validation"):
            pass
    else:
        survey_fields(records, [(285.0, 0.0)])


def _read_model(path):
    from extmap_tf.model.scoring import Scorer
    from extmap_tf.model.versions import find_saved_model

    folder, _ = find_saved_model(path)
    Scorer(folder)


def _read_training(path):
    from extmap_tf.model.export import export

    with tempfile.TemporaryDirectory() as out:
        export(path, Path(out) / "model", echo=lambda line: None)


OPENED = {
    "map.fits": _read_map,
    "mocks": _read_records,
    "survey": _read_records,
    "model": _read_model,
    "training": _read_training,
}


def files(inputs):
    """(input, file in it or "") of all that is damaged."""
    found = []
    for name, patterns in NAMES.items():
        for pattern in patterns:
            path = sorted((inputs / name).glob(pattern))[0]
            found.append((name, str(path.relative_to(inputs / name))))
        if not patterns:
            found.append((name, ""))
    return found


def child(seed, numbers, show, args):
    """Read some damaged inputs; one line each on standard output."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    inputs = args.work / "inputs"
    made = [one for one in files(inputs) if not args.only_of or args.only_of in "/".join(one)]
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        for number in numbers:
            rng = random.Random(f"{seed} {number}")
            name, file = made[number % len(made)]
            path = Path(folder) / name
            if file:
                shutil.copytree(inputs / name, path, symlinks=True)
            target = path / file if file else path
            target.write_bytes(attacked((inputs / name / file).read_bytes(), rng))
            how = rng.getrandbits(32)
            tell(number, f"{name}/{file}", functools.partial(read, path, name, random.Random(how)), show)
            shutil.rmtree(path) if file else path.unlink()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("/tmp/extmap_campaign"), help="folder to work in")
    parser.add_argument("--only-of", default="", metavar="TEXT", help="inputs whose names have it")
    campaign(parser, child, script)


def script(args):
    """What the children run; makes the inputs first."""
    from extmap_tf.settings.config import Config

    inputs = args.work / "inputs"
    make_inputs(inputs)
    (inputs / "whole.toml").write_text(Config.from_toml(CONFIG).to_toml())
    return [__file__, "--work", str(args.work), "--only-of", args.only_of]


if __name__ == "__main__":
    main()
