"""The stars of a grid's fields from a TAP service, box by box, as Parquet files that the readers take."""

import contextlib
import datetime
import json
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from extmap_tf import __version__
from extmap_tf.catalogs.columns import POSITIONS, band_roles, find_columns, missing_column
from extmap_tf.catalogs.survey_tables import Header, roles_of
from extmap_tf.errors import DataError, ServiceError
from extmap_tf.fetch.asking import Answer, TapClient
from extmap_tf.fetch.boxes import EquatorialBox, boxes_over
from extmap_tf.fetch.services import Service
from extmap_tf.files import PathLike, unfinished_folder, whole_file, whole_path
from extmap_tf.formats import FETCH, FETCH_NAME
from extmap_tf.grids.sky import SkyGrid
from extmap_tf.settings.config import Config
from extmap_tf.settings.identity import SCHEMA, digest_of
from extmap_tf.settings.survey import NO_LIMIT_MAG, SurveyConfig

# Smaller boxes hold no more stars than one: a service that gives less than they hold is at fault.
_LEAST_BOX_DEG = 1e-3
# Ends the name of an empty file that says: this box is asked for in quarters.
_DIVIDED = ".divided"


@dataclass(frozen=True)
class Plan:
    """What is asked for.

    Parameters
    ----------
    service : Service
    columns : tuple of str
        Those that the survey's reader takes.
    position : (str, str)
        Right ascension and declination, in the conditions.
    units : dict of str to str
        By column.
    faint_mag : tuple of (str, float)
        Columns of magnitudes beyond which no star counts.
    boxes : tuple of EquatorialBox
        Each is asked for by itself, in quarters where it has too many rows.
    """

    service: Service
    columns: tuple[str, ...]
    position: tuple[str, str]
    units: dict[str, str]
    faint_mag: tuple[tuple[str, float], ...]
    boxes: tuple[EquatorialBox, ...]

    @property
    def table(self) -> str:
        return quoted(self.service.table)

    def where(self, box: EquatorialBox) -> str:
        fainter = (f" AND {quoted(column)} <= {limit:g}" for column, limit in self.faint_mag)
        return "".join([box.where(*map(quoted, self.position)), *fainter])

    def query(self, box: EquatorialBox) -> str:
        columns = ", ".join(map(quoted, self.columns))
        return f"SELECT {columns} FROM {self.table} WHERE {self.where(box)}"

    @property
    def digest(self) -> str:
        """Of all queries, and whom they are put to."""
        return digest_of({"url": self.service.url, "queries": [self.query(box) for box in self.boxes]})


def quoted(name: str) -> str:
    """A name as ADQL takes it: in quotes where a part of it has other letters than identifiers have."""
    plain = all(part.isascii() and part.isidentifier() and part[0] != "_" for part in name.split("."))
    return name if plain else '"{}"'.format(name.replace('"', ""))


def plan_of(client: TapClient, service: Service, survey: SurveyConfig, grid: SkyGrid, box_deg: float) -> Plan:
    """Look at the columns of a service's table, and at the fields of a grid.

    Raises
    ------
    ServiceError, DataError
        There is no such table, or it lacks a column that the survey's reader needs.
    """
    units = client.units_by_column(service.table)
    header = Header(f"{service.url}, table {service.table}", tuple(units), units)
    columns = roles_of(header, survey)
    known = {role: POSITIONS[role] for role in ("ra", "dec")}
    position = find_columns(header.names, known, {}, header.name)
    for role in known:
        if role not in position:
            raise missing_column(role, known, header.names, header.name, f"the position ({role})")
    wanted = tuple(dict.fromkeys(columns.values()))
    return Plan(
        service,
        wanted,
        (position["ra"], position["dec"]),
        {name: units[name] for name in wanted},
        tuple(
            (columns[role], band.faint_mag)
            for role, band in band_roles(survey).items()
            if band.faint_mag < NO_LIMIT_MAG
        ),
        tuple(boxes_over(grid, box_deg)),
    )


def fetch_stars(
    config: Config,
    survey: SurveyConfig,
    client: TapClient,
    service: Service,
    out: PathLike,
    box_deg: float = 1.0,
    max_rows: int = 200_000,
    n_requests: int = 1,
    overwrite: bool = False,
    progress: Callable[[Iterable[EquatorialBox]], Iterable[EquatorialBox]] = lambda boxes: boxes,
) -> int:
    """Get the stars of all fields of a configuration.

    Parameters
    ----------
    config : Config
        Its sightlines say where.
    survey : SurveyConfig
        Its reader says which columns.
    client : TapClient
    service : Service
    out : path-like
        Folder to make, with a Parquet file for each box that was asked for and ``fetch.json``. Until all is
        there the finished files are in ``OUT.unfinished``, where the same call goes on.
    box_deg : float
        Height and most of the width of a box.
    max_rows : int
        A box with more is asked for in quarters.
    n_requests : int
        So many boxes are asked for at once.
    overwrite : bool
    progress : callable
        Wraps the boxes that are worked through.

    Returns
    -------
    int
        Number of rows.

    Raises
    ------
    ServiceError, DataError
        The service fails or does not give what it counts; `out` may not be replaced, or the unfinished folder
        is of another region, service or survey, or in use.
    """
    with (
        contextlib.closing(client),
        unfinished_folder(out, overwrite, folder_with=FETCH_NAME) as folder,
        warnings.catch_warnings(action="ignore"),
    ):
        plan = plan_of(client, service, survey, config.sightlines, box_deg)
        _require_own(folder, plan)
        work = _Work(plan, client, folder, max_rows)
        try:
            _work_through(plan.boxes, work.fetch, n_requests, progress)
        except (Exception, KeyboardInterrupt):
            if any(folder.glob("*.parquet")):
                client.note(f"what came is kept in {folder}: run the same command again to go on")
            raise
        files = [_facts_of(path) for path in sorted(folder.glob("*.parquet"))]
        n_rows = sum(file["rows"] for file in files)
        for mark in folder.glob(f"*{_DIVIDED}"):
            mark.unlink()
        if not n_rows:
            raise DataError(f"{service.url}: {service.table} has no star in these fields ({config.name})")
        about = {
            "format": FETCH,
            "schema": SCHEMA,
            "software_version": __version__,
            "survey": survey.name,
            "service": service.url,
            "table": service.table,
            "columns": list(plan.columns),
            "config_name": config.name,
            "config_digest": config.digest,
            "rows": n_rows,
            "files": files,
        }
        with whole_file(folder / FETCH_NAME, overwrite=True) as stream:
            json.dump(about, stream, indent=1)
    return n_rows


def _work_through(boxes, fetch, n_requests, progress):
    """Fetch boxes, some at a time; after an error none is begun."""
    if n_requests == 1:
        for box in progress(boxes):
            fetch(box)
        return
    with ThreadPoolExecutor(n_requests) as pool:
        at_work = {box: pool.submit(fetch, box) for box in boxes}
        try:
            for box in progress(boxes):
                at_work[box].result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@dataclass
class _Work:
    plan: Plan
    client: TapClient
    folder: Path
    max_rows: int

    def fetch(self, box: EquatorialBox) -> None:
        """Get the stars of a box, or of its quarters, unless they are there."""
        path, divided = self.folder / f"{box.name}.parquet", self.folder / f"{box.name}{_DIVIDED}"
        if path.exists() or not (divided.exists() or self._needs_quarters(box, path)):
            return
        # Whatever is asked for the next time, no star may be in two files.
        divided.touch()
        for quarter in box.quarters():
            self.fetch(quarter)

    def _needs_quarters(self, box, path):
        """Write a box's file, unless it has too many rows."""
        count = self.client.count(self.plan.table, self.plan.where(box))
        if count <= self.max_rows:
            answer = self.client.rows(self.plan.query(box), count + 1)
            if answer.n_rows == count:
                self._write(path, box, answer)
                return False
            self._take_limit(box, count, answer)
        if box.height_deg < _LEAST_BOX_DEG:
            raise ServiceError(
                f"{self.client.url}: {count:,} rows in a box of {box.height_deg:.2g} deg ({box.name}): give "
                "larger --max-rows"
            )
        return True

    def _take_limit(self, box, count, answer):
        """Ask for no more rows at once than came, if the service says that it has a limit."""
        if not answer.overflow or answer.n_rows >= count or not answer.n_rows:
            raise ServiceError(
                f"{self.client.url}: {answer.n_rows:,} rows came of a box that has {count:,} by COUNT(*) "
                f"({box.name}): run the command again, with --max-rows below {max(answer.n_rows, 1):,} if "
                "the service has a limit that it does not tell"
            )
        self.max_rows = answer.n_rows

    def _write(self, path: Path, box: EquatorialBox, answer: Answer) -> None:
        if len(answer.columns) != len(self.plan.columns):
            raise ServiceError(
                f"{self.client.url}: {len(answer.columns)} columns came of {len(self.plan.columns)}"
            )
        fields, arrays = [], []
        # By their order: a service may write a name in other letters.
        for name, values in zip(self.plan.columns, answer.columns.values(), strict=True):
            array = _to_arrow(values)
            unit = self.plan.units[name]
            fields.append(pa.field(name, array.type, metadata={"unit": unit} if unit else None))
            arrays.append(array)
        about = {
            "schema": str(SCHEMA),
            "content": "stars of a survey, by TAP",
            "plan": self.plan.digest,
            "service": self.plan.service.url,
            "query": self.plan.query(box),
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "rows": str(answer.n_rows),
            "software": f"extmap_tf {__version__}",
        }
        table = pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata=about))
        with whole_path(path) as temporary:
            pq.write_table(table, temporary)


def _to_arrow(values):
    """A column with its nulls."""
    data, mask = np.ma.getdata(values), np.ma.getmaskarray(values)
    if data.dtype.kind == "O":
        texts = [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in data]
        return pa.array(texts, pa.string(), mask=mask)
    return pa.array(data, mask=mask)


def _require_own(folder, plan):
    """Raise DataError if files of another fetch are in the folder."""
    for path in folder.glob("*.parquet"):
        if _facts_of(path)["plan"] != plan.digest:
            raise DataError(
                f"{folder} holds an unfinished fetch of other fields, columns or service ({path.name}): "
                "remove it, or choose another name"
            )


def _facts_of(path):
    """What a file says of itself; one that was not written here says another plan."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read ({error}): remove it and run the command again") from None
    said = {key.decode(): value.decode("utf-8", "replace") for key, value in metadata.items()}
    facts = {name: said.get(name, "") for name in ("plan", "query", "date")}
    return {"name": path.name, "rows": pq.read_metadata(path).num_rows} | facts
