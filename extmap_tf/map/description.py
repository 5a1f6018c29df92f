"""A map in plain words."""

from typing import Any

import numpy as np

from extmap_tf.estimate import EMPTY_FLAGS, SIGHTLINE_FLAGS
from extmap_tf.extinction.bands import quantity_of
from extmap_tf.extinction.law import law_text

_WALLS_AT_KPC = (0.5, 1.0, 2.0, 4.0, 8.0)


def summary_of(volume: Any) -> list[tuple[str, str]]:
    """What a map is, as a list of (name, text); a row without a name goes on with the one above.

    Parameters
    ----------
    volume : ExtinctionMap
    """
    distance, origin = volume.distance, volume.provenance
    where, how_finely = volume.grid.summary()
    kind = "estimated from star counts" if origin.kind == "estimate" else "the true dust of a mock sky"
    good = volume.has_profile
    total = volume.extinction[..., -1][good]
    own = (
        quantity_of(origin.band),
        quantity_of(origin.blue_band),
        f"E({origin.blue_band}-{origin.band})",
    )
    others = ", ".join(name for name in own if name != volume.quantity)
    if origin.law_model != "ratio":
        others += ", other bands and colour excesses by its law"
    model = f"{origin.model_name} ({origin.model_digest}), records {origin.records_digest}"
    rows = [
        ("map", kind),
        ("quantity", f"{volume.quantity} in mag and its density in mag/kpc; queries also give {others}"),
        ("sky", where),
        ("", how_finely),
        (
            "distance",
            f"0 to {distance.max_kpc:g} kpc, {distance.n_distances} bins of {distance.step_kpc:g} kpc",
        ),
        ("sightlines", f"{np.count_nonzero(good)} of {volume.grid.n_sightlines} have a profile"),
        *_flags_described(volume),
        ("values", _values_described(volume)),
        ("stars", f"{int(volume.n_stars.sum(dtype=np.int64))} counted (fields may overlap)"),
        ("coverage", f"an estimate needs {volume.min_coverage:g} of its field"),
    ]
    if good.any():
        at_end = f"median {np.median(total):.3f} mag, largest {total.max():.3f} mag"
        rows.append((f"total {volume.quantity}", f"{at_end}, at {distance.max_kpc:g} kpc"))
        if volume.percentiles:
            low, middle, high = np.percentile(volume.reliable_distance_kpc[good], (16, 50, 84))
            rows += [
                ("reliable to", f"{middle:.2f} kpc (16 to 84 % of them: {low:.2f} to {high:.2f})"),
                ("", f"{100 * volume.reliable[good].mean():.0f} % of all distances are reliable"),
            ]
    if volume.header.wall_sigma and good.any():
        rows.append(("smallest wall", _walls_described(volume)))
    rows += [
        ("survey", f"{origin.survey} ({origin.blue_band}, {origin.band})"),
        ("law", law_text(origin.law_model, origin.law_rv)),
        *_ratio_described(volume),
        ("configuration", f"{origin.config_name} ({origin.config_digest})"),
        ("model", model if origin.model_name else "none"),
        *([("refined by", f"the likelihood; {origin.offsets}")] if origin.offsets else []),
        ("software", origin.software),
    ]
    return rows


def _ratio_described(volume):
    origin = volume.provenance
    ratio = f"A({origin.blue_band})/A({origin.band}) = {origin.blue_over_red:.4f}"
    if volume.header.is_refined:
        ratio += f" +- {origin.law_ratio_sigma:.3f}, as its stars and what is believed say"
    elif origin.law_ratio_sigma:
        ratio += f" in the mean of the training pairs, where it scatters by {origin.law_ratio_sigma:g}"
    excess = f"E({origin.blue_band}-{origin.band})/A({origin.band})"
    yield "", ratio
    yield "", f"{excess} = {origin.blue_over_red - 1.0:.4f}"


def _walls_described(volume):
    """The median of the smallest walls, at some distances; a dash where most sightlines show none."""
    outer = volume.distance.outer_kpc
    at = [int(np.argmin(np.abs(outer - d))) for d in _WALLS_AT_KPC if d <= outer[-1]]
    walls = np.nan_to_num(volume.smallest_wall[volume.has_profile][:, at], nan=np.inf)
    middle = ["-" if np.isinf(wall) else f"{wall:.2g}" for wall in np.median(walls, axis=0)]
    kpc = ", ".join(f"{outer[k]:.3g}" for k in at)
    return f"found at {volume.header.wall_sigma:g} sigma: {', '.join(middle)} mag at {kpc} kpc"


def _flags_described(volume):
    for flag in SIGHTLINE_FLAGS:
        if n := np.count_nonzero(volume.flag & flag.value):
            yield "", f"{n} {'have none' if flag & EMPTY_FLAGS else 'are doubtful'}: {flag.meaning}"
    for survey, odd in volume.odd_by_survey.items():
        if n := np.count_nonzero(odd):
            yield "", f"{n} are doubtful by their stars of {survey}"


def _values_described(volume):
    if not volume.percentiles:
        return "one profile a sightline, without uncertainty"
    numbers = ", ".join(f"{p:g}" for p in volume.percentiles)
    text = f"median, mean, std and percentiles {numbers}"
    return f"{text}; {volume.n_samples} samples" if volume.n_samples else f"{text}; no samples"
