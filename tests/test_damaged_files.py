"""Every file that we write, damaged in every way: one line says so, whoever reads it."""

import shutil

import numpy as np
import pytest

from extmap_tf.cli import main
from extmap_tf.errors import ExtmapError
from extmap_tf.info import describe
from extmap_tf.map.volume import ExtinctionMap
from extmap_tf.settings.config import Config

DAMAGES = {
    "truncated": lambda content: content[: len(content) // 2],
    "flipped": lambda content: flipped(content),
    "not UTF-8": lambda content: b"\xff\xfe\xfd" + content,
    "nested deep": lambda content: b"[" * 100_000,
    "of other types": lambda content: b'{"format": [1], "schema": {"a": "b"}, "files": 5}',
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(len(content)),
}


def flipped(content):
    """64 bytes in the middle, which are no ASCII afterwards if they were."""
    changed = np.frombuffer(content, np.uint8).copy()
    middle = len(changed) // 2
    changed[middle - 32 : middle + 32] ^= 0xFF
    return changed.tobytes()


def read_records(path):
    from extmap_tf.records.dataset import corruption_named, evaluation_dataset
    from extmap_tf.records.manifest import Records

    records = Records.open(path)
    records.reference()
    with corruption_named(records.path, records):
        for _ in evaluation_dataset(records, "train"):
            pass


def read_training(path):
    from extmap_tf.model.export import export

    export(path, path.parent / "made", echo=lambda line: None)


def read_config(path):
    Config.load(path / "config.toml")


def read_model(path):
    from extmap_tf.json_files import read_bounded
    from extmap_tf.model.known_answer import KnownAnswer
    from extmap_tf.model.scoring import Scorer
    from extmap_tf.model.versions import find_saved_model

    folder, _ = find_saved_model(path)
    Scorer(folder)
    known = folder / "assets.extra" / "known_answer.json"
    KnownAnswer.from_json(read_bounded(known), str(known))


# Folder of a fixture, file in it, and how the folder is read.
FILES = [
    ("mock_records", "manifest.json", read_records),
    ("mock_records", "reference.fits", read_records),
    ("mock_records", "train-00000-of-*", read_records),
    ("trained", "model.json", read_training),
    ("trained", "config.toml", read_config),
    ("trained", "domain.npz", read_training),
    ("trained", "model.keras", read_training),
    ("saved_model", "1/saved_model.pb", read_model),
    ("saved_model", "1/variables/variables.index", read_model),
    ("saved_model", "1/assets.extra/model.json", read_model),
    ("saved_model", "1/assets.extra/known_answer.json", read_model),
]


UNSEEN = {("reference.fits", "flipped"), ("domain.npz", "flipped"), ("model.keras", "not UTF-8")}


def one_line(work):
    with pytest.raises(ExtmapError) as caught:
        work()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def damage(path, how):
    if how == "a folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(DAMAGES[how](path.read_bytes()))


@pytest.mark.parametrize("how", [*DAMAGES, "a folder"])
@pytest.mark.parametrize(
    ("made", "name", "read"), FILES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_damaged_file_of_a_folder_is_told_in_one_line(made, name, read, how, request, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(request.getfixturevalue(made), folder)
    damage(next(folder.glob(name)), how)
    one_line(lambda: describe(folder, verify=True))
    # The readers themselves, without checksums: they do not see wrong numbers, nor what is before a zip.
    for sums in folder.glob("**/SHA256SUMS"):
        sums.unlink()
    if (name, how) not in UNSEEN:
        one_line(lambda: read(folder))


# A text is one in Latin-1 too, and half of it; pages of Parquet have no checksums.
UNSEEN_ALONE = {
    *(("clouds.csv", how) for how in ("truncated", "flipped", "not UTF-8")),
    ("profiles.parquet", "flipped"),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with what single commands write of the example map."""
    folder = tmp_path_factory.mktemp("written")
    ExtinctionMap.example().write(folder / "map.fits")
    (folder / "truth.fits").write_bytes((folder / "map.fits").read_bytes())
    commands = [
        ["evaluate", "--map", "map.fits", "--truth", "truth.fits", "--out", "evaluation.json"],
        *(
            ["clouds", "map.fits", "--out", f"clouds{suffix}"]
            for suffix in (".ecsv", ".csv", ".vot", ".fits")
        ),
        *(
            ["convert", "map.fits", name]
            for name in ("copy.h5", "copy.fits", "profiles.parquet", "sky.moc.fits")
        ),
    ]
    for command in commands:
        assert main([str(folder / word) if "." in word else word for word in command]) == 0
    return folder


@pytest.mark.parametrize("how", [*DAMAGES, "a folder"])
@pytest.mark.parametrize(
    "name",
    [
        *("evaluation.json", "clouds.ecsv", "clouds.csv", "clouds.vot", "clouds.fits"),
        *("map.fits", "copy.h5", "copy.fits", "profiles.parquet", "sky.moc.fits"),
    ],
)
def test_a_damaged_single_file_is_told_in_one_line(name, how, written, tmp_path):
    path = tmp_path / name
    path.write_bytes((written / name).read_bytes())
    assert describe(path, verify=True)
    damage(path, how)
    if (name, how) not in UNSEEN_ALONE:
        one_line(lambda: describe(path, verify=True))
