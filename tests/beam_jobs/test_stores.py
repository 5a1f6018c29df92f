"""The jobs on an object store: it knows no folders, and objects appear when they are closed."""

import io
from pathlib import Path

import numpy as np
import pytest
from apache_beam.io.filesystem import BeamIOError, CompressedFile, CompressionTypes, FileMetadata, FileSystem
from astropy.io import fits

from beam_jobs import stores
from beam_jobs.graphs import mocks_to_records, score_to_map, twomass_to_records
from extmap_tf.cli import main
from extmap_tf.errors import DataError
from extmap_tf.records.manifest import Records

OBJECTS = {}


class Object(io.BytesIO):
    def __init__(self, path):
        super().__init__()
        self._path = path

    def close(self):
        if not self.closed:
            OBJECTS[self._path] = self.getvalue()
        super().close()


class ObjectStore(FileSystem):
    """Objects in memory, with the manners of Google Cloud Storage's file system in Beam."""

    @classmethod
    def scheme(cls):
        return "bucket"

    def join(self, basepath, *paths):
        return "/".join([basepath.rstrip("/"), *(path.strip("/") for path in paths)])

    def split(self, path):
        return tuple(path.rsplit("/", 1))

    def mkdirs(self, path):
        pass

    def has_dirs(self):
        return False

    def _list(self, prefix):
        for path in list(OBJECTS):
            if path.startswith(prefix):
                yield self.metadata(path)

    def create(self, path, mime_type=None, compression_type=CompressionTypes.AUTO):
        return self._maybe_compressed(Object(path), path, compression_type)

    def open(self, path, mime_type=None, compression_type=CompressionTypes.AUTO):
        if path not in OBJECTS:
            raise BeamIOError("no such object", {path: None})
        return self._maybe_compressed(io.BytesIO(OBJECTS[path]), path, compression_type)

    def _maybe_compressed(self, stream, path, compression_type):
        if compression_type == CompressionTypes.AUTO:
            compression_type = CompressionTypes.detect_compression_type(path)
        plain = compression_type == CompressionTypes.UNCOMPRESSED
        return stream if plain else CompressedFile(stream, compression_type)

    def copy(self, source_file_names, destination_file_names):
        for source, target in zip(source_file_names, destination_file_names, strict=True):
            if source not in OBJECTS:
                raise BeamIOError("copy failed", {(source, target): None})
            OBJECTS[target] = OBJECTS[source]

    def rename(self, source_file_names, destination_file_names):
        self.copy(source_file_names, destination_file_names)
        for source in source_file_names:
            del OBJECTS[source]

    def exists(self, path):
        return path in OBJECTS

    def size(self, path):
        return len(OBJECTS[path])

    def last_updated(self, path):
        return 0.0

    def checksum(self, path):
        return str(hash(OBJECTS[path]))

    def metadata(self, path):
        return FileMetadata(path, len(OBJECTS[path]))

    def delete(self, paths):
        # As Google's: what is given is a pattern.
        for (found,) in ([match] for match in self.match(paths)):
            for metadata in found.metadata_list:
                del OBJECTS[metadata.path]


@pytest.fixture
def bucket(monkeypatch):
    """The empty store, and leave to use its scheme."""
    monkeypatch.setattr("beam_jobs.pipeline._EXTRAS", {"bucket": ("any", "json")})
    OBJECTS.clear()
    yield OBJECTS
    OBJECTS.clear()


def put(folder, target):
    """Copy a local file or folder into the store."""
    folder = Path(folder)
    for path in folder.rglob("*") if folder.is_dir() else [folder]:
        if path.is_file():
            OBJECTS[f"{target}/{path.relative_to(folder).as_posix()}".removesuffix("/.")] = path.read_bytes()


def digests(manifest):
    return {entry.name: entry.sha256 for entry in manifest.entries()}


def test_training_pairs_go_there_and_replace_older_ones(bucket, tiny_config, mock_records):
    out = "bucket://b/run/mocks"
    bucket[f"{out}-of-others/file"] = b"stays"
    mocks_to_records.make_records(tiny_config, out, examples_per_shard=100)
    expected = digests(Records.open(mock_records).manifest)
    assert digests(stores.open_manifest(out)) == expected
    with pytest.raises(DataError, match="exists already"):
        mocks_to_records.make_records(tiny_config, out)
    bucket[f"{out}/left-over"] = b""
    mocks_to_records.make_records(tiny_config, out, overwrite=True, examples_per_shard=100)
    assert digests(stores.open_manifest(out)) == expected
    names = {*expected, "manifest.json"}
    assert set(bucket) == {f"{out}-of-others/file", *(f"{out}/{name}" for name in names)}


def test_stars_of_a_galaxy_model_may_be_there(bucket, tiny_config, tmp_path):
    rng = np.random.default_rng(1)
    rows = zip(rng.uniform(11, 14, 4000), rng.uniform(0.1, 9, 4000), strict=True)
    table = tmp_path / "stars.csv"
    table.write_text("J,Ks,distance_kpc\n" + "".join(f"{j},{j - 0.6},{d}\n" for j, d in rows))
    put(table, "bucket://b/stars.csv")
    catalog = {"l_deg": 284.0, "b_deg": -1.0, "area_deg2": 4.0, "path": str(table)}
    sightline = {"mocks.l_deg": [], "mocks.b_deg": [], "mocks.n_pairs": 60}
    manifests = []
    for path, out in ((str(table), str(tmp_path / "mocks")), ("bucket://b/stars.csv", "bucket://b/mocks")):
        config = tiny_config.replace(**sightline, **{"mocks.catalogs": [catalog | {"path": path}]})
        mocks_to_records.make_records(config, out)
        manifests.append(stores.open_manifest(out))
    here, there = manifests
    assert digests(here) == digests(there)
    assert here.config.digest == there.config.digest
    assert there.config.mocks.catalogs[0].path == "bucket://b/stars.csv"


def test_stars_that_are_not_there_are_missed_at_once(bucket, tiny_config):
    catalog = {"l_deg": 284.0, "b_deg": -1.0, "area_deg2": 4.0, "path": "bucket://b/stars.csv"}
    config = tiny_config.replace(
        **{"mocks.l_deg": [], "mocks.b_deg": [], "mocks.catalogs": [catalog]},
    )
    with pytest.raises(DataError, match=r"bucket://b/stars\.csv: no such file; mend mocks\.catalogs"):
        mocks_to_records.make_records(config, "bucket://b/mocks")


def test_what_is_no_records_folder_is_never_replaced(bucket, tiny_config):
    bucket["bucket://b/mine/thesis.tex"] = b"..."
    with pytest.raises(DataError, match="this command did not make"):
        mocks_to_records.make_records(tiny_config, "bucket://b/mine", overwrite=True)
    assert list(bucket) == ["bucket://b/mine/thesis.tex"]


@pytest.mark.parametrize("broken", [1, 3])
def test_new_records_are_whole_somewhere_when_the_store_breaks(bucket, tiny_config, monkeypatch, broken):
    out = "bucket://b/mocks"
    mocks_to_records.make_records(tiny_config, out, examples_per_shard=100)
    copy, calls = ObjectStore.copy, []

    def break_once(self, sources, targets):
        calls.append(sources)
        if len(calls) == broken:
            raise BeamIOError("out of order")
        copy(self, sources, targets)

    other = tiny_config.replace(seed=2)
    monkeypatch.setattr(
        "beam_jobs.shards.FileSystems.rename", lambda sources, targets: put_there(sources, targets)
    )
    monkeypatch.setattr(ObjectStore, "copy", break_once)
    with pytest.raises(
        DataError, match=r"cannot be written .out of order.*; the records are whole in"
    ) as caught:
        mocks_to_records.make_records(other, out, overwrite=True, examples_per_shard=100)
    kept = str(caught.value).rsplit(" ", 1)[1]
    assert stores.open_manifest(kept).config == other
    with pytest.raises(DataError, match=r"no manifest\.json"):
        stores.open_manifest(out)


def put_there(sources, targets):
    for source, target in zip(sources, targets, strict=True):
        OBJECTS[target] = OBJECTS.pop(source)


def test_names_that_beam_takes_for_patterns_are_refused_there(bucket, tiny_config):
    bucket["bucket://b/run1/mocks/manifest.json"] = b"{}"
    with pytest.raises(DataError, match=r"bucket://b/run\[1\]/mocks: names in an object store cannot have"):
        mocks_to_records.make_records(tiny_config, "bucket://b/run[1]/mocks", overwrite=True)
    assert list(bucket) == ["bucket://b/run1/mocks/manifest.json"]


def test_a_job_that_fails_leaves_nothing_there(bucket, tiny_config, monkeypatch):
    def fail(entries, folder, *_):
        raise DataError("half-way")

    monkeypatch.setattr("beam_jobs.shards.write_manifest", fail)
    with pytest.raises(DataError, match="half-way"):
        mocks_to_records.make_records(tiny_config, "bucket://b/mocks")
    assert not bucket


def test_stars_and_model_there_give_the_map_of_here(
    bucket, tiny_config, observed_sky, survey_records, saved_model, tmp_path
):
    put(observed_sky[0], "bucket://b/sky.parquet")
    put(saved_model, "bucket://b/model")
    twomass_to_records.make_records(tiny_config, ["bucket://b/sky.*"], "bucket://b/survey")
    assert digests(stores.open_manifest("bucket://b/survey")) == digests(
        Records.open(survey_records).manifest
    )
    command = ["score", "--records", "bucket://b/survey", "--model", "bucket://b/model"]
    assert main([*command, "--out", "bucket://b/map.fits"]) == 0
    score_to_map.make_map(survey_records, saved_model, tmp_path / "map.fits")
    with (
        fits.open(tmp_path / "map.fits") as here,
        fits.open(io.BytesIO(bucket["bucket://b/map.fits"])) as there,
    ):
        assert there[0].header["MODEL"] == here[0].header["MODEL"]
        for ours, theirs in zip(here, there, strict=True):
            np.testing.assert_array_equal(theirs.data, ours.data)
    assert not [name for name in bucket if "incomplete" in name]


def test_local_names_may_have_brackets(tiny_config, observed_sky, saved_model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for overwrite in ([], ["--overwrite"]):
        twomass_to_records.make_records(
            tiny_config, [str(observed_sky[0])], "a[1]", overwrite=bool(overwrite)
        )
        command = [
            "score",
            "--records",
            "a[1]",
            "--model",
            str(saved_model),
            "--out",
            "m[1].fits",
            *overwrite,
        ]
        assert main(command) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a[1]", "m[1].fits"]


def test_what_cannot_be_scored_there_is_refused_in_a_line(bucket, survey_records, saved_model, capsys):
    put(survey_records, "bucket://b/survey")
    put(saved_model, "bucket://b/model")

    def told(records="survey", model="model", out="map.fits"):
        parts = ["--records", f"bucket://b/{records}", "--model", f"bucket://b/{model}"]
        before = dict(bucket)
        assert main(["score", *parts, "--out", f"bucket://b/{out}"]) == 1
        assert bucket == before
        return capsys.readouterr().err

    assert "bucket://b/none: no manifest.json" in told(records="none")
    assert "bucket://b/none: no SavedModel there" in told(model="none")
    bucket["bucket://b/map.fits"] = b"mine"
    assert "bucket://b/map.fits exists already" in told()
    shard = next(name for name in bucket if "/survey/all-" in name)
    content = bucket[shard]
    bucket[shard] = content[:-1]
    assert f"{shard}: " in told(out="other.fits")
    del bucket[shard]
    assert f"{shard}: missing" in told(out="other.fits")
    bucket[shard] = content
    (card,) = (name for name in bucket if name.endswith("assets.extra/model.json"))
    del bucket[card]
    assert "not a SavedModel of 'extmap-tf export'" in told(out="other.fits")
