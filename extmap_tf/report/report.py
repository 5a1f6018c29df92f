"""A map told in one HTML file: what it is, its figures, how far to trust it, its errors where known."""

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from extmap_tf import __version__
from extmap_tf.errors import DataError
from extmap_tf.estimate import EMPTY_FLAGS, RELIABLE_FRACTION, RELIABLE_MAG, SIGHTLINE_FLAGS, Flag
from extmap_tf.evaluation.calibration import calibration_table, reliability_table
from extmap_tf.evaluation.metrics import compare_maps
from extmap_tf.evaluation.profile_errors import density_errors_table, errors_table
from extmap_tf.extinction.profiles import profiles_at
from extmap_tf.figures.evaluation import coverage
from extmap_tf.figures.gallery import chosen_arms, standard_figures
from extmap_tf.figures.marks import Clouds
from extmap_tf.figures.style import styled
from extmap_tf.files import local_path, refuse_existing, whole_file
from extmap_tf.formats import REPORT
from extmap_tf.grids.diagram import Cmds
from extmap_tf.map.volume import ExtinctionMap
from extmap_tf.report.explorer import explorer_data, explorer_script

REPORT_NAME = "report.html"
# No folder is meant by a name that ends so.
_OTHER_SUFFIXES = (".pdf", ".png", ".svg", ".md", ".txt", ".doc", ".docx", ".ps", ".tex", ".fits", ".json")
TEMPLATE = Path(__file__).with_name("report.html.jinja")
DPI = 140
DISTANCES_KPC = (0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 10.0, 15.0, 20.0)

_CAPTIONS = {
    "face_on": "Seen from above the plane: the dust, as the rise of the extinction with distance, averaged "
    "over the map's latitudes, and how sure it is. Grey is where there is no profile.",
    "sky": "On the sky: extinction from the Sun to the last distance.",
    "slices": "On the sky, in slices of distance, each on a colour scale of its own.",
    "latitudes": "Cuts at some longitudes: the dust against latitude and distance.",
    "profiles": "Single sightlines, from little to much extinction. Shaded are the 68 and 90 % intervals, "
    "a grey bar at the bottom is where they are not reliable; to the left, where given, the diagrams behind "
    "them.",
    "trust": "Standard deviation of the extinction to the last distance; at how many distances a sightline "
    "is reliable; and how many sightlines are, by latitude and distance.",
    "errors": "Errors of the extinction against the truth.",
}


@dataclass(frozen=True)
class Picture:
    """A figure as the page holds it: PNG in base64, its size in pixels and its caption."""

    png: str
    width: int
    height: int
    caption: str


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Parameters
    ----------
    key, title : str
    text : sequence of str
        Paragraphs.
    about : sequence of (str, str)
        Names and what they are.
    tables : sequence of dict
        With ``header``, a sequence of (name, unit), and ``lines`` of cells.
    pictures : sequence of Picture
    """

    key: str
    title: str
    text: tuple[str, ...] = ()
    about: tuple[tuple[str, str], ...] = ()
    tables: tuple[dict, ...] = ()
    pictures: tuple[Picture, ...] = field(default=(), repr=False)


def report_path(out: str | Path) -> Path:
    """The file to write: `out` if it ends in .html, else ``report.html`` in the folder `out`.

    Raises
    ------
    DataError
        `out` has the name of a file of another kind.
    """
    out = local_path(out)
    if out.suffix.lower() in _OTHER_SUFFIXES and not out.is_dir():
        raise DataError(f"{out}: a report is HTML: give it a name in .html, or a folder for report.html")
    return out if out.suffix.lower() in (".html", ".htm") else out / REPORT_NAME


def write_report(
    volume: ExtinctionMap,
    out: str | Path,
    truth: ExtinctionMap | None = None,
    sightlines: Sequence[tuple[float, float]] | None = None,
    arms: bool | Iterable[str] | None = False,
    cmds: Callable[[], Cmds] | None = None,
    model: Sequence[tuple[str, str]] = (),
    interactive: bool = True,
    all_cmds: Cmds = (),
    clouds: Clouds | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a map's report: one HTML file that needs nothing else, neither files nor a network.

    Parameters
    ----------
    volume : ExtinctionMap
    out : path-like
        As for `report_path`.
    truth : ExtinctionMap, optional
        Of the same grids; then the errors are told too.
    sightlines : sequence of (float, float), optional
        (l, b) in degrees of the profiles to draw; by default six spread over the map.
    arms, cmds
        As for `extmap_tf.figures.gallery.draw_all`.
    model : sequence of (str, str), optional
        What the model is, as names and texts.
    interactive : bool
        With a part to explore: the sky with a slider of distance, the view from above, and the profile of
        the sightline one chooses. The library that draws it, plotly.js, is put into the file: 5 MB more.
    all_cmds : sequence of (Diagram, ndarray [n_sightlines, n_y, n_x]), optional
        For it, the diagrams of all sightlines, in the order of the grid.
    clouds
        As for `extmap_tf.figures.gallery.draw_all`.
    overwrite : bool

    Returns
    -------
    pathlib.Path

    Raises
    ------
    DataError, MismatchError
        As for `extmap_tf.figures.gallery.draw_all`.
    """
    from jinja2 import Environment, StrictUndefined

    path = report_path(out)
    refuse_existing(path, overwrite)
    drawings = standard_figures(volume, truth, sightlines, arms, cmds, clouds)
    evaluation = None if truth is None else compare_maps(volume, truth)
    sections = [
        Section("about", "What it is", about=tuple(volume.summary())),
        Section("model", "The model", about=tuple(model)) if model else None,
        _pictures(drawings),
        _trust(volume, drawings),
        _flags(volume),
    ]
    if evaluation:
        sections.append(_errors(evaluation, drawings))
    origin, (where, _) = volume.provenance, volume.grid.summary()
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(
        TEMPLATE.read_text(encoding="utf-8")
    )
    kind = "Estimated from star counts" if origin.kind == "estimate" else "The true dust of a mock sky"
    text = page.render(
        format=REPORT,
        title=f"3D extinction map: {origin.config_name}",
        lead=f"{kind}: {volume.quantity} against distance out to {volume.distance.max_kpc:g} kpc, {where}.",
        sections=[section for section in sections if section],
        explorer=_explorer(volume, truth, all_cmds, clouds, arms) if interactive else None,
        footer=f"Written by extmap_tf {__version__}. The map itself: "
        f"{volume.path.name if volume.path else 'not written to a file'}.",
    )
    with whole_file(path, "wb", overwrite=overwrite) as stream:
        stream.write(text.encode())
    return path


def _explorer(volume, truth, cmds, clouds, arms):
    """The scripts of the part to explore. None of them is text of the map's, but the data, which are JSON."""
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    return {
        "library": Markup(get_plotlyjs()),
        "data": Markup(explorer_data(volume, truth, cmds, clouds, chosen_arms(volume, truth, arms))),
        "script": Markup(explorer_script()),
        "cmds": [f"{d.y.label} against {d.x.label} of {d.survey}" for d, _ in cmds],
    }


@styled
def _picture(figure, caption):
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, bbox_inches="tight", metadata={"Software": None})
    data = stream.getvalue()
    # Width and height stand in the first part of a PNG: the page keeps its place while it loads.
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    return Picture(base64.b64encode(data).decode(), width, height, caption)


def _pictures(drawings):
    pictures = [
        _picture(drawings[name](), _CAPTIONS[name]) for name in drawings if name not in ("trust", "errors")
    ]
    return Section("figures", "The map", pictures=tuple(pictures))


def _trust(volume, drawings):
    if not volume.percentiles or not volume.has_profile.any():
        return None
    good, quantity = volume.has_profile, volume.quantity
    reliable = volume.reliable_distance_kpc[good]
    at = [d for d in DISTANCES_KPC if d <= volume.distance.max_kpc * (1 + 1e-9)]
    l_deg, b_deg = (angle[good.ravel(), None] for angle in volume.grid.centers_deg())
    how: dict[str, Any] = {"mode": "percentile", "percentile": [16, 84], "return_flags": True}
    interval, flags = volume.query_gal(l_deg, b_deg, at, **how)
    half = 0.5 * (interval[..., 1] - interval[..., 0]).value
    sure = flags & Flag.UNRELIABLE.value == 0
    median = profiles_at(volume.extinction[good], volume.distance, at)
    lines = []
    for i, d in enumerate(at):
        low, middle, high = np.percentile(median[:, i], (16, 50, 84))
        lines.append(
            [
                f"{d:g}",
                *(f"{value:.3f}" for value in (low, middle, high, np.median(half[:, i]))),
                f"{100 * np.mean(sure[:, i]):.0f}",
            ]
        )
    header = [("distance", "kpc"), ("16 %", "mag"), (f"median {quantity}", "mag"), ("84 %", "mag")]
    header += [("half 68 % interval", "mag"), ("reliable", "% of sightlines")]
    ranks = (5, 16, 50, 84, 95)
    quantiles = [f"{value:.2f}" for value in np.percentile(reliable, ranks)]
    return Section(
        "trust",
        "How far to trust it",
        text=(
            "An extinction is reliable where half of its central 68 % interval is at most "
            f"{100 * RELIABLE_FRACTION:g} % of it or {RELIABLE_MAG:g} mag, whichever is more. Elsewhere "
            "values are given with a flag. The reliable distance of a sightline is the farthest one that is "
            "reliable, and up to which at least 80 % of the distances are.",
            f"At each distance: how the sightlines' median {quantity} is spread over the sky, the typical "
            "uncertainty of one sightline, and how many are reliable there.",
        ),
        tables=(
            {"header": header, "lines": lines},
            {
                "header": [("reliable distance", ""), *((f"{rank} %", "kpc") for rank in ranks)],
                "lines": [["of the sightlines", *quantiles]],
            },
        ),
        pictures=(_picture(drawings["trust"](), _CAPTIONS["trust"]),),
    )


def _flags(volume):
    total = volume.flag.size
    rows = [("good: no flag", np.count_nonzero(volume.flag == 0), "")]
    for flag in SIGHTLINE_FLAGS:
        what = "no profile" if flag & EMPTY_FLAGS else "doubtful"
        rows.append((flag.meaning, np.count_nonzero(volume.flag & flag.value), what))
    rows += [(f"by the stars of {s}", np.count_nonzero(x), "") for s, x in volume.odd_by_survey.items()]
    lines = [[name, f"{n:,}", f"{100 * n / total:.1f}", what] for name, n, what in rows]
    header = [("sightlines", ""), ("number", ""), ("share", "%"), ("values are", "")]
    return Section(
        "flags",
        "Flags",
        text=("A sightline may have several flags. A doubtful one has values, which may be wrong.",),
        tables=({"header": header, "lines": lines},),
    )


def _errors(evaluation, drawings):
    everything = [*evaluation.overall, *evaluation.by_total, *evaluation.by_stars]
    tables = [errors_table(everything), density_errors_table(_first_group(evaluation.density))]
    pictures = [_picture(drawings["errors"](), _CAPTIONS["errors"])]
    if evaluation.calibration:
        tables += [
            calibration_table(_first_group(evaluation.calibration)),
            reliability_table(evaluation.reliability),
        ]
        caption = "How often the truth lies in the map's intervals; dashed, how often it should."
        pictures.append(_picture(coverage(evaluation.calibration, evaluation.calibration_curves), caption))
    return Section(
        "errors",
        "Errors against the truth",
        text=(
            "Estimate - truth over the sightlines that have both: of the extinction, of its "
            "density, and how often the truth lies in the stated intervals.",
            *(f"Left out: {what}." for what in evaluation.left_out),
        ),
        tables=tuple({"header": header, "lines": lines} for header, lines in tables),
        pictures=tuple(pictures),
    )


def _first_group(rows):
    return [row for row in rows if row.group == rows[0].group]
