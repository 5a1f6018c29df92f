"""The manifest of a records folder: what the shards beside it hold.

A folder without a manifest is not a finished one; the manifest is written last.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import ArrayLike

from extmap_tf import __version__
from extmap_tf.errors import DataError
from extmap_tf.files import PathLike, local_path, sha256_of
from extmap_tf.json_files import JsonForm, read_bounded
from extmap_tf.settings.config import Config
from extmap_tf.settings.identity import SCHEMA, digest_of, require_readable

MANIFEST_NAME = "manifest.json"
REFERENCE_NAME = "reference.fits"
FORMAT = "extmap_tf records"
KINDS = ("mocks", "survey")
_FILE = {"name": str, "n_bytes": int, "sha256": str, "n_examples": int}
_FORM = JsonForm(
    "manifest",
    {
        "kind": str,
        "config": dict,
        "config_digest": str,
        "splits": {str: [_FILE]},
        "others": [_FILE],
        "report": dict,
        "software_version": str,
    },
    "make the records again",
    FORMAT,
    require_readable,
)


@dataclass(frozen=True)
class FileEntry:
    """A file of the folder; `n_examples` is 0 for one that is not a shard."""

    name: str
    n_bytes: int
    sha256: str
    n_examples: int = 0


@dataclass(frozen=True)
class Manifest:
    """What a records folder holds.

    Parameters
    ----------
    kind : {"mocks", "survey"}
        Mocks carry profiles, survey records do not.
    config : extmap_tf.settings.config.Config
    splits : dict of str to tuple of FileEntry
        Shards in order; the examples of a split, shard after shard, do not depend on the number of shards.
    others : tuple of FileEntry
        Further files, such as the reference CMDs.
    report : dict
        What was read and left out, with reasons.
    software_version : str
    """

    kind: str
    config: Config
    splits: dict[str, tuple[FileEntry, ...]]
    others: tuple[FileEntry, ...] = ()
    report: dict[str, Any] = field(default_factory=dict)
    software_version: str = __version__

    def n_examples(self, split: str) -> int:
        return sum(shard.n_examples for shard in self.splits[split])

    @property
    def digest(self) -> str:
        """Identifies these records: configuration and content."""
        files = {entry.name: entry.sha256 for entry in self.entries()}
        return digest_of({"config": self.config.digest, "files": files})

    def entries(self) -> tuple[FileEntry, ...]:
        """All files of the folder but the manifest."""
        return (*(shard for shards in self.splits.values() for shard in shards), *self.others)

    def require_files(self, folder: PathLike, sizes: Mapping[str, int]) -> None:
        """Raise DataError unless all files are there with their stated sizes; `sizes` has bytes by name."""
        for entry in self.entries():
            place, found = f"{folder}/{entry.name}", sizes.get(entry.name)
            if found is None:
                raise DataError(f"{place}: missing, though the manifest lists it; make the records again")
            if found != entry.n_bytes:
                raise DataError(
                    f"{place}: {found} bytes, the manifest says {entry.n_bytes}: truncated or changed; make "
                    "the records again"
                )

    def to_json(self) -> str:
        config = self.config
        header = {
            "format": FORMAT,
            "schema": SCHEMA,
            "kind": self.kind,
            "software_version": self.software_version,
            "config_name": config.name,
            "config_digest": config.digest,
            "records_digest": self.digest,
            "observation_digest": digest_of(config.observation),
            "target_digest": digest_of(config.target),
            "contents": contents(config, self.kind),
            "n_examples": {split: self.n_examples(split) for split in self.splits},
        }
        body = {
            "splits": {name: [dataclasses.asdict(s) for s in shards] for name, shards in self.splits.items()},
            "others": [dataclasses.asdict(entry) for entry in self.others],
            "report": self.report,
            "config": config.to_dict(),
        }
        return json.dumps(header | body, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, place: str) -> Self:
        """Parse a manifest; `place` names it in errors."""
        data = _FORM.parse(text, place)
        if data["kind"] not in KINDS:
            raise DataError(f"{place}: damaged manifest (kind is {data['kind']!r}); {_FORM.advice}")
        return cls(
            kind=data["kind"],
            config=Config.from_stated(data, place),
            splits={name: _entries(shards) for name, shards in data["splits"].items()},
            others=_entries(data["others"]),
            report=data["report"],
            software_version=data["software_version"],
        )


def _entries(files):
    return tuple(FileEntry(**{name: file[name] for name in _FILE}) for file in files)


def contents(config: Config, kind: str) -> dict[str, str]:
    """Plain statements of what an example's features are."""
    stated = {
        diagram.name: f"stars per pixel, uint16 little-endian, {list(diagram.shape)} = "
        f"[{' - '.join(diagram.y.bands) or diagram.y.label}, "
        f"{' - '.join(diagram.x.bands) or diagram.x.label}], both ascending"
        for diagram in config.diagrams
    }
    stated |= {
        "l_deg, b_deg": "Galactic coordinates of the field's centre, degrees",
        "n_stars, n_outside": "stars inside and outside the CMD",
    }
    if kind == "mocks":
        stated["density"] = (
            f"A({config.survey.red.name}) per kpc in each of {config.distance.n_distances} bins of "
            f"{config.distance.step_kpc} kpc, mag / kpc, law {config.law.model}"
        )
        if config.mocks.partial_share:
            stated["coverage"] = "share of the field that is covered; 1 where it is not stated"
        return stated
    stated["coverage"] = "share of the field that has data, from the cells that hold stars"
    for view in config.views[1:]:
        names = [view.named(name) for name in ("n_stars", "n_outside", "coverage")]
        stated[", ".join(names)] = f"the same of {view.survey.name}; coverage 0 where it has no data"
    return stated


@dataclass(frozen=True)
class Records:
    """A finished records folder.

    Parameters
    ----------
    path : pathlib.Path
    manifest : Manifest
    """

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: PathLike) -> Self:
        """Open a folder: the manifest is read, and every file must be there with its stated size.

        Raises
        ------
        DataError
            No folder, no manifest, or a file that is missing or of another size.
        """
        path = local_path(path)
        if not path.is_dir():
            raise DataError(f"{path}: no such records folder")
        place = path / MANIFEST_NAME
        if not place.is_file():
            raise DataError(
                f"{path}: no {MANIFEST_NAME}, so these are no finished records; make them with "
                "'extmap-tf records'"
            )
        records = cls(path, Manifest.from_json(read_bounded(place), str(place)))
        sizes = {file.name: file.stat().st_size for file in path.iterdir() if file.is_file()}
        records.manifest.require_files(path, sizes)
        return records

    def verify(self) -> None:
        """Check every file's SHA-256; DataError names the first that differs."""
        for entry in self.manifest.entries():
            with open(self.path / entry.name, "rb") as stream:
                found = sha256_of(stream)
            if found != entry.sha256:
                raise DataError(
                    f"{self.path / entry.name}: corrupted (SHA-256 {found[:12]}..., the manifest says "
                    f"{entry.sha256[:12]}...); make the records again"
                )

    def shard_paths(self, split: str) -> list[str]:
        """Paths of a split's shards, in order."""
        if split not in self.manifest.splits:
            raise DataError(f"{self.path}: no split {split!r}; there are: {', '.join(self.manifest.splits)}")
        return [str(self.path / shard.name) for shard in self.manifest.splits[split]]

    def reference(self) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """What to expect without extinction: l_deg [n], b_deg [n], and counts [n, n_y, n_x] by diagram."""
        from astropy.io import fits

        path = self.path / REFERENCE_NAME
        try:
            with fits.open(path, memmap=False) as hdus:
                table = hdus["NODES"].data
                return (
                    table["l_deg"].astype(np.float64),
                    table["b_deg"].astype(np.float64),
                    {
                        diagram.name: hdus[_hdu_name(diagram)].data.astype(np.float32)
                        for diagram in self.manifest.config.diagrams
                    },
                )
        except (OSError, KeyError) as error:
            raise DataError(f"{path}: cannot be read: {error}") from None


def write_reference(
    stream: BinaryIO, config: Config, l_deg: ArrayLike, b_deg: ArrayLike, counts: Mapping[str, np.ndarray]
) -> None:
    """Write the table of what to expect without extinction as FITS.

    Parameters
    ----------
    stream : binary file object
    config : extmap_tf.settings.config.Config
    l_deg, b_deg : array_like [n_nodes]
    counts : mapping of str to ndarray of float32 [n_nodes, n_y, n_x]
        Expected stars per pixel and field, by the names of the diagrams.
    """
    from astropy.io import fits

    image, *others = (_reference_image(diagram, counts[diagram.name]) for diagram in config.diagrams)
    nodes = fits.BinTableHDU.from_columns(
        [
            fits.Column("l_deg", "D", unit="deg", array=np.asarray(l_deg, float)),
            fits.Column("b_deg", "D", unit="deg", array=np.asarray(b_deg, float)),
        ],
        name="NODES",
    )
    primary = fits.PrimaryHDU()
    primary.header["CONTENT"] = "reference CMDs"
    primary.header["SCHEMA"] = (SCHEMA, "of extmap_tf's files")
    primary.header["SURVEY"] = ", ".join(survey.name for survey in config.surveys)
    primary.header["FIELDDEG"] = (config.sightlines.field_deg, "side of a field, deg")
    primary.header["CONFIG"] = (config.name, "configuration")
    primary.header["CFGDIG"] = (config.digest, "configuration digest")
    primary.header["SOFTVER"] = (__version__, "extmap_tf version")
    fits.HDUList([primary, image, nodes, *others]).writeto(stream)


def _hdu_name(diagram):
    return diagram.name.replace("counts", "reference", 1).upper()


def _reference_image(diagram, counts):
    from astropy.io import fits

    image = fits.ImageHDU(np.asarray(counts, np.float32), name=_hdu_name(diagram))
    image.header["BUNIT"] = ("count", "expected stars per pixel and field, A = 0")
    for number, axis in ((1, diagram.x), (2, diagram.y)):
        image.header[f"CTYPE{number}"] = axis.label
        image.header[f"CUNIT{number}"] = axis.unit
        image.header[f"CRPIX{number}"] = 0.5
        image.header[f"CRVAL{number}"] = axis.minimum
        image.header[f"CDELT{number}"] = np.diff(axis.edges)[0]
    image.header["CTYPE3"] = ("NODE", "row of NODES")
    return image
