"""A map with distance as time: a frame for each bin, as an animated GIF."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from extmap_tf.figures.dust import rise_in_steps
from extmap_tf.figures.layout import beside, colorbar, outer_labels, panels, scale
from extmap_tf.figures.sky_view import sky_view
from extmap_tf.figures.style import TWO_COLUMNS, styled
from extmap_tf.files import whole_file
from extmap_tf.map.volume import ExtinctionMap

ANIMATION = "distances"

# More bins than these share frames: a frame is a bin of a few.
MAX_FRAMES = 120
_DPI, _FRAME_MS, _LAST_MS = 110, 120, 2000


def frame_bins(n_distances: int) -> np.ndarray:
    """The bins that are shown, the last one among them: ndarray of int [n_frames]."""
    every = -(-n_distances // MAX_FRAMES)
    return np.arange(n_distances - 1, -1, -every)[::-1]


@styled
def frames(
    volume: ExtinctionMap, truth: ExtinctionMap | None = None, width: float = TWO_COLUMNS
) -> Iterator[Figure]:
    """One figure, drawn anew for each distance: the column from the Sun to it, and the dust there.

    Both are on the sky, each on one colour scale for all distances, so that one sees them grow and pass.

    Parameters
    ----------
    volume : ExtinctionMap
    truth : ExtinctionMap, optional
        Drawn below, on the same colour scales.
    width : float
        Of the page, inches.

    Yields
    ------
    matplotlib.figure.Figure
        The same one each time.
    """
    maps, view, quantity = beside(volume, truth), sky_view(volume.grid), volume.quantity
    quantities = (
        ([one.extinction for one, _ in maps], f"{quantity} from the Sun to there (mag)"),
        ([rise_in_steps(one) for one, _ in maps], f"rise of {quantity} there (mag/kpc)"),
    )
    n_columns = 1 if view.shape > 2.5 or width < TWO_COLUMNS else 2
    figure, axes = panels(2 * len(maps), view.shape, n_columns, n_columns, width)
    drawn = []
    for i, (layers, label) in enumerate(quantities):
        norm, extend = scale(layers)
        chosen = axes[i::2] if n_columns == 2 else axes[i * len(maps) : (i + 1) * len(maps)]
        for axis, layer, (_, title) in zip(chosen, layers, maps, strict=True):
            drawn.append((view.draw(axis, layer[..., -1], norm, colormaps["magma_r"], title), layer))
        colorbar(figure, drawn[-1][0], chosen, label, extend)
    outer_labels(axes, *view.labels)
    told: Any = figure.suptitle(" ")
    figure.draw_without_rendering()
    # What has found its place stays there.
    figure.set_layout_engine("none")
    edges = volume.distance.edges_kpc
    for k in frame_bins(volume.distance.n_distances):
        told.set_text(f"{edges[k + 1]:.2f} kpc")
        for mesh, layer in drawn:
            view.redraw(mesh, layer[..., k])
        yield figure


def save_animation(
    volume: ExtinctionMap,
    path: str | Path,
    truth: ExtinctionMap | None = None,
    width: float = TWO_COLUMNS,
    overwrite: bool = False,
) -> None:
    """Write all `frames` as a GIF that repeats; the same map gives the same bytes.

    Raises
    ------
    DataError
        The file exists and `overwrite` is false.
    """
    from PIL import Image

    pictures = []
    for figure in frames(volume, truth, width):
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", dpi=_DPI)
        pictures.append(Image.open(drawn).convert("RGB"))
    # The colours of the last frame, which has seen all of the column, for all of them.
    palette = pictures[-1].quantize(255)
    indexed = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    pauses = [_FRAME_MS] * (len(indexed) - 1) + [_LAST_MS]
    with whole_file(path, "wb", overwrite=overwrite) as stream:
        how: dict[str, Any] = {"format": "GIF", "save_all": True, "append_images": indexed[1:], "loop": 0}
        indexed[0].save(stream, duration=pauses, **how)
