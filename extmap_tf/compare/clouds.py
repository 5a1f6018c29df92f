"""Clouds of a map in three dimensions: steps of neighbouring sightlines at one distance, taken together."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from extmap_tf.compare.steps import StepRule, find_steps
from extmap_tf.errors import ConfigError
from extmap_tf.estimate import DOUBT_FLAGS
from extmap_tf.grids.sphere import unit_vectors
from extmap_tf.map.volume import ExtinctionMap

# Gas behind one magnitude of A(Ks), helium included, in solar masses per pc^2, as near-infrared maps take it
# (Lombardi, Alves & Lada 2011, A&A 535, A16): 1.67e22 H per cm^2 of 1.37 hydrogen atoms' mass each. These are
# N(H) = 5.8e21 E(B-V) (Bohlin, Savage & Drake 1978, ApJ 224, 132) with R(V) = 3.1 and A(K) = 0.112 A(V)
# (Rieke & Lebofsky 1985, ApJ 288, 618). N(H) = 2.21e21 A(V) (Guver & Ozel 2009, MNRAS 400, 2050) gives 18 %
# more: masses are known no better than that.
GAS_PER_KS_MSUN_PC2 = 183.0
# Of the gas's mass, the dust's, as it is commonly taken (Hildebrand 1983, QJRAS 24, 267).
DUST_SHARE = 0.01
MASS_IS = "dust: 1 % (Hildebrand 1983) of the gas, 183 Msun/pc2 per mag of A(Ks) (Lombardi+ 2011), x area"

# Two peaks are two clouds if the dust between them is less than this share of the lower one.
_SADDLE = 0.5
_PERCENTILES = (16.0, 50.0, 84.0)


@dataclass(frozen=True)
class Cloud:
    """Dust that is together on the sky and in distance.

    Intervals are the central 68 % of the map's samples. Neighbouring sightlines are taken to err together, so
    that an interval does not shrink with their number; of a map without samples they are NaN.

    Parameters
    ----------
    l_deg, b_deg : float
        Mean of its sightlines, weighted by dust.
    distance_kpc, distance_low_kpc, distance_high_kpc : float
        Where half of the dust is reached on its sightlines: median and interval, weighted by dust.
    depth_kpc, depth_low_kpc, depth_high_kpc : float
        Length along the sight in which the middle 68 % of its dust are. The map's own resolution is in it:
        an upper limit.
    width_kpc : float
        Diameter across the sight of a circle of its area. Not less than a sightline's field.
    area_deg2 : float
    n_sightlines : int
    column_mag, column_low_mag, column_high_mag : float
        Extinction by the cloud, above that of the dust around it, mean over its area.
    peak_mag : float
        That of the strongest sightline.
    mass_msun, mass_low_msun, mass_high_msun : float
        Of its dust: `MASS_IS`; of the column's interval, at the cloud's distance.
    sigma : float
        Height of the step that stands out most over its standard deviation; infinite for one profile.
    flags : int
        Bits of `extmap_tf.estimate.Flag` of any of its sightlines.
    sightlines : tuple of int
        Indices in the map's grid, ascending; not in tables.
    """

    l_deg: float
    b_deg: float
    distance_kpc: float
    distance_low_kpc: float
    distance_high_kpc: float
    depth_kpc: float
    depth_low_kpc: float
    depth_high_kpc: float
    width_kpc: float
    area_deg2: float
    n_sightlines: int
    column_mag: float
    column_low_mag: float
    column_high_mag: float
    peak_mag: float
    mass_msun: float
    mass_low_msun: float
    mass_high_msun: float
    sigma: float
    flags: int
    sightlines: tuple[int, ...] = dataclasses.field(repr=False)


def find_clouds(volume: ExtinctionMap, rule: StepRule | None = None) -> list[Cloud]:
    """The clouds of a map, near ones first.

    Steps of the sightlines (`extmap_tf.compare.steps`) are joined from the highest down: one whose dust
    overlaps in distance with that of a step on an adjacent sightline goes to that step's cloud, if the
    cloud's highest step is inside its window or the other way round; so a cloud is never longer than the
    resolution there. Two clouds that touch are one unless the dust between them is less than half of the
    lower's. What has no step of `StepRule.min_sigma` is no cloud.

    Parameters
    ----------
    volume : ExtinctionMap
        With samples, or of one profile a sightline, such as a truth.
    rule : StepRule, optional

    Returns
    -------
    list of Cloud

    Raises
    ------
    DataError
        The map has intervals but no samples.
    """
    rule = rule or StepRule()
    steps = find_steps(volume, rule)
    factor = _ks_factor(volume)
    members: dict[int, list[int]] = {}
    for step, owner in enumerate(_joined(volume, steps)):
        members.setdefault(owner, []).append(step)
    sure = steps.sigma >= rule.min_sigma
    clouds = [_cloud(volume, steps, np.array(rows), factor) for rows in members.values() if sure[rows].any()]
    return sorted(clouds, key=lambda cloud: (cloud.distance_kpc, cloud.l_deg, cloud.b_deg))


def clouds_at(volume: ExtinctionMap, clouds: list[Cloud], l_deg: float, b_deg: float) -> list[Cloud]:
    """Those of the clouds of a map that are on the sightline of a position; none outside the map."""
    index = int(volume.grid.sightline_of([l_deg], [b_deg])[0])
    return [cloud for cloud in clouds if index in cloud.sightlines]


def _joined(volume, steps):
    """For every step, the highest step of its cloud."""
    around: dict[int, list[int]] = {}
    for first, second in zip(*volume.grid.adjacent_pairs(), strict=True):
        around.setdefault(int(first), []).append(int(second))
        around.setdefault(int(second), []).append(int(first))
    on: dict[int, list[int]] = {}
    height, owner = steps.height_mag, np.full(steps.sightline.size, -1)

    def root(step):
        while owner[step] != step:
            step = owner[step]
        return step

    def at_one_place(one, other):
        reach = max(steps.half_kpc[one], steps.half_kpc[other])
        return abs(steps.distance_kpc[one] - steps.distance_kpc[other]) <= reach

    for step in np.argsort(-height, kind="stable").tolist():
        owner[step] = step
        near = [k for sightline in around.get(int(steps.sightline[step]), ()) for k in on.get(sightline, ())]
        touching = [
            k
            for k in near
            if steps.near_kpc[k] <= steps.far_kpc[step] and steps.near_kpc[step] <= steps.far_kpc[k]
        ]
        for peak in sorted({root(k) for k in touching}, key=lambda peak: -height[peak]):
            mine = root(step)
            alone = mine == step
            if (
                mine != peak
                and at_one_place(mine, peak)
                and (alone or height[step] >= _SADDLE * height[peak])
            ):
                low, high = sorted((mine, peak), key=lambda k: height[k])
                owner[low] = high
        on.setdefault(int(steps.sightline[step]), []).append(step)
    return [root(step) for step in range(owner.size)]


def _cloud(volume, steps, rows, factor):
    """The cloud of some steps of a map."""
    grid = volume.grid
    sightlines = np.unique(steps.sightline[rows])
    areas = grid.cells_deg2()
    area_deg2 = float(areas[sightlines].sum())
    # A sightline may have two steps in one cloud.
    share = areas[steps.sightline[rows]] / area_deg2
    heights, mean = steps.heights_mag[rows], steps.height_mag[rows]
    weight = np.maximum(heights, 0.0) * share[:, None]
    if not weight.sum() > 0:
        weight = np.ones_like(weight)
    distance = _weighted(steps.middles_kpc[rows], weight)
    depth = _weighted(steps.depths_kpc[rows], weight)
    column = [float(share @ edge) for edge in np.percentile(heights, (16.0, 84.0), axis=1)]
    column.insert(1, float(share @ mean))
    pc2 = area_deg2 * (np.radians(1.0) * distance[1] * 1e3) ** 2
    mass = [_dust_msun(factor * mag, pc2) for mag in column]
    l_deg, b_deg = _middle(grid, steps.sightline[rows], share * mean)
    if not volume.n_samples:
        for triple in (distance, depth, column, mass):
            triple[0] = triple[2] = float("nan")
    flags = np.bitwise_or.reduce(volume.flag.ravel()[sightlines].astype(int)) & DOUBT_FLAGS.value
    return Cloud(
        l_deg=l_deg,
        b_deg=b_deg,
        distance_kpc=distance[1],
        distance_low_kpc=distance[0],
        distance_high_kpc=distance[2],
        depth_kpc=depth[1],
        depth_low_kpc=depth[0],
        depth_high_kpc=depth[2],
        width_kpc=float(2.0 * np.sqrt(pc2 / np.pi) / 1e3),
        area_deg2=area_deg2,
        n_sightlines=sightlines.size,
        column_mag=column[1],
        column_low_mag=column[0],
        column_high_mag=column[2],
        peak_mag=float(mean.max()),
        mass_msun=mass[1],
        mass_low_msun=mass[0],
        mass_high_msun=mass[2],
        sigma=float(steps.sigma[rows].max()),
        flags=int(flags),
        sightlines=tuple(sightlines.tolist()),
    )


def _weighted(values, weights):
    """Percentiles `_PERCENTILES` of values with weights."""
    order = np.argsort(values, axis=None)
    total = np.cumsum(weights.ravel()[order])
    at = np.searchsorted(total, np.array(_PERCENTILES) / 100.0 * total[-1])
    return [float(x) for x in values.ravel()[order][np.minimum(at, order.size - 1)]]


def _middle(grid, sightlines, weights):
    x, y, z = weights @ unit_vectors(*grid.centers_deg(sightlines))
    return float(np.degrees(np.arctan2(y, x)) % 360.0), float(np.degrees(np.arctan2(z, np.hypot(x, y))))


def _ks_factor(volume):
    """A(2MASS Ks) over the A of the map's band; NaN where its law says nothing of it."""
    try:
        return volume.band_factor("Ks")
    except ConfigError:
        return float("nan")


def _dust_msun(ks_mag, pc2):
    return DUST_SHARE * GAS_PER_KS_MSUN_PC2 * ks_mag * pc2
