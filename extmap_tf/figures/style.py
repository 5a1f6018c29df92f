"""How all figures look: matplotlib's parameters, colours for any vision, widths of print; saving.

A function that makes a figure is decorated with `styled`: a user's own settings do not change it.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from cycler import cycler
from matplotlib import colormaps, rc_context
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from extmap_tf.errors import ConfigError
from extmap_tf.files import local_path, refuse_existing, whole_file, whole_paths

FORMATS = ("png", "pdf")

# Okabe & Ito's colours, told apart with any colour vision.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
ESTIMATE, TRUTH = COLORS[0], "#444444"
MARKERS = "os^Dvpx"

# Where there is no value.
MISSING = "#CFCFCF"

# Colours of what is unsure: the brighter, the surer, as where shares are of what is reliable.
UNSURE = "viridis_r"

# Widths of one and of two columns of a journal, and the height of its page, in inches.
ONE_COLUMN, TWO_COLUMNS, PAGE_HEIGHT = 3.46, 7.1, 9.2
WIDTHS = {1: ONE_COLUMN, 2: TWO_COLUMNS}

# Distances between ticks are these times a power of ten.
STEPS = (1, 2, 5, 10)

STYLE: dict[Any, Any] = {
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "axes.labelsize": 8.0,
    "figure.titlesize": 9.0,
    "figure.labelsize": 8.0,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "legend.fontsize": 7.0,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.5,
    "axes.prop_cycle": cycler(color=COLORS),
    "pdf.fonttype": 42,
    "savefig.dpi": 200,
    # A name of a band or a map is text, also where it has a dollar.
    "text.parse_math": False,
}

styled = rc_context(STYLE)


def cmap(name: str) -> Colormap:
    """A colour map by name, grey where there is no value."""
    return colormaps[name].with_extremes(bad=MISSING)


@styled
def save(
    figure: Figure, path: str | Path, overwrite: bool = False, dpi: float = STYLE["savefig.dpi"]
) -> None:
    """Write a figure, as PNG or PDF by the suffix of `path`; the same figure gives the same bytes.

    Raises
    ------
    ConfigError
        Another suffix.
    DataError
        The file exists and `overwrite` is false.
    """
    suffix = Path(path).suffix.lower().lstrip(".")
    if suffix not in FORMATS:
        raise ConfigError(f"a figure's file name must end in .png or .pdf, got: {path}")
    metadata = {"CreationDate": None} if suffix == "pdf" else {}
    with whole_file(path, "wb", overwrite=overwrite) as stream:
        figure.savefig(stream, format=suffix, dpi=dpi, bbox_inches="tight", metadata=metadata)


def save_all(drawings: Mapping[Path, Callable[[], Figure]], overwrite: bool = False) -> None:
    """Write figures that appear together.

    Parameters
    ----------
    drawings : mapping of Path to callable
        What draws the figure of each path.
    overwrite : bool
    """
    with whole_paths(drawings, overwrite) as temporary:
        for path, draw in zip(temporary, drawings.values(), strict=True):
            save(draw(), path)


def figure_paths(
    names: Iterable[str], folder: str | Path, suffix: str = "png", overwrite: bool = False
) -> dict[str, Path]:
    """Where figures of these names go in a folder: dict of name to path; DataError if one exists already."""
    paths = {name: local_path(folder) / f"{name}.{suffix}" for name in names}
    for path in paths.values():
        refuse_existing(path, overwrite)
    return paths
