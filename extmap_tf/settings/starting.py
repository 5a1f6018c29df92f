"""A configuration to start from, for any region of the sky: the text of a TOML file with comments."""

import json
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from extmap_tf.errors import ConfigError
from extmap_tf.grids.healpix import HealpixGrid
from extmap_tf.grids.regions import SkyRegion
from extmap_tf.grids.sky import SkyGrid
from extmap_tf.grids.squares import SightlineGrid

FIELD_DEG = 0.5
MAX_WIDTH_DEG = 60.0

_STEP_DEG = 0.25
_MAX_FIELDS = 30_000
# Squares in l and b become too narrow at the poles; HEALPix pixels of this number are 0.46 deg wide.
_SQUARES_BELOW_DEG, _NSIDE = 80.0, 128
# The stars of a training sightline stand for those as far around it.
_L_SPACING_DEG, _B_SPACING_DEG, _B_SPACING_FAR_DEG = 20.0, 3.5, 7.0
# The dust ends at this height above the plane.
_DUST_KPC = 0.6
# Where all dust is nearer than some kpc, single clouds make the profile.
_NEAR_DUST_DEG = 10.0
_GALAXIES = (
    ("the Large Magellanic Cloud", 280.5, -32.9, 6.0),
    ("the Small Magellanic Cloud", 302.8, -44.3, 4.0),
    ("the Andromeda galaxy", 121.2, -21.6, 2.0),
)


@dataclass(frozen=True)
class SkyBox:
    """A range of l and b, degrees; l is in the turn from -180 to 540, ascending."""

    l_min_deg: float
    l_max_deg: float
    b_min_deg: float
    b_max_deg: float

    @classmethod
    def around(cls, l_deg: float, b_deg: float, radius_deg: float) -> "SkyBox":
        """The box around a circle.

        Raises
        ------
        ConfigError
            There is no such place, or the circle is too large.
        """
        if not -90.0 <= b_deg <= 90.0 or not -360.0 <= l_deg <= 360.0:
            raise ConfigError(f"--around needs l and b of the sky in degrees, got: {l_deg:g},{b_deg:g}")
        if not 0.0 < radius_deg <= 0.5 * MAX_WIDTH_DEG:
            raise ConfigError(
                f"--radius must be above 0 and at most {0.5 * MAX_WIDTH_DEG:g} deg, got: {radius_deg:g}: "
                "make several maps of a larger region, and merge them"
            )
        b_min, b_max = max(-90.0, b_deg - radius_deg), min(90.0, b_deg + radius_deg)
        cos_b = math.cos(math.radians(max(abs(b_min), abs(b_max))))
        half = radius_deg / cos_b if cos_b > radius_deg / 180.0 else 180.0
        return cls(l_deg % 360.0 - half, l_deg % 360.0 + half, b_min, b_max)

    def within(self, margin_deg: float) -> "SkyBox | None":
        """The box without a margin on each side; None if nothing is left."""
        margin_l = margin_deg / max(math.cos(math.radians(self.most_abs_b_deg)), 1e-6)
        l_min, l_max = self.l_min_deg + margin_l, self.l_max_deg - margin_l
        if self.l_max_deg - self.l_min_deg >= 360.0:
            l_min, l_max = self.l_min_deg, self.l_max_deg
        # Stars on both sides of a pole are around it.
        b_min = self.b_min_deg if self.b_min_deg <= -90.0 else self.b_min_deg + margin_deg
        b_max = self.b_max_deg if self.b_max_deg >= 90.0 else self.b_max_deg - margin_deg
        return SkyBox(l_min, l_max, b_min, b_max) if l_min <= l_max and b_min <= b_max else None

    @property
    def place(self) -> str:
        l, b = 0.5 * (self.l_min_deg + self.l_max_deg) % 360.0, 0.5 * (self.b_min_deg + self.b_max_deg)
        return f"l{l:.4g}_b{b:.4g}"

    @property
    def least_abs_b_deg(self) -> float:
        return (
            0.0 if self.b_min_deg <= 0.0 <= self.b_max_deg else min(abs(self.b_min_deg), abs(self.b_max_deg))
        )

    @property
    def most_abs_b_deg(self) -> float:
        return max(abs(self.b_min_deg), abs(self.b_max_deg))

    def distance_deg(self, l_deg: float, b_deg: float) -> float:
        """About how far a place is from the box: 0 inside."""
        center, half = 0.5 * (self.l_min_deg + self.l_max_deg), 0.5 * (self.l_max_deg - self.l_min_deg)
        off_l = max(0.0, abs((l_deg - center + 180.0) % 360.0 - 180.0) - half)
        off_b = max(0.0, self.b_min_deg - b_deg, b_deg - self.b_max_deg)
        return math.hypot(off_l * math.cos(math.radians(b_deg)), off_b)


def starting_text(
    box: SkyBox, circle: tuple[float, float, float] | None = None, surveys: Sequence[str] = ("2mass",)
) -> str:
    """A configuration for a region, with comments that say what to look at.

    Parameters
    ----------
    box : SkyBox
        That the centres of fields are in.
    circle : (l, b, radius), optional
        In degrees: near a pole the fields are those in it.
    surveys : sequence of str
        Names of built-in ones, or paths of files.

    Raises
    ------
    ConfigError
        The region is larger than one map should be.
    """
    grid, lines = _sightlines(box, circle)
    area_deg2 = float(grid.cells_deg2().sum())
    l_deg, b_deg = _training_sightlines(grid)
    n_pairs, epochs = _amount(area_deg2)
    where, how_finely = grid.summary()
    near = box.least_abs_b_deg >= _NEAR_DUST_DEG
    warned = "".join(f"{_comment(f'Careful: {line}.')}\n" for line in warnings_for(box))
    return f"""\
{_comment(f"A start for {where}: {how_finely}.")}
# Read it, change what you know better, then: extmap-tf fetch, extmap-tf map.
# 'extmap-tf config --reference' has the meaning of every key.
{warned}name = "{box.place}"
seed = 1
{_surveys(surveys)}
{lines}
# The dust ends about {_DUST_KPC:g} kpc above the plane; the bins reach as far, and 10 kpc at most.
[distance]
{_distance(box)}
{_CMD_OF_NEAR_DUST if near else ""}\
# Training sightlines, all pairs of l and b: their stars stand for those of the map. More pairs make a better
# network and take longer; these are a start for {area_deg2:,.0f} square degrees.
[mocks]
l_deg = {l_deg}
b_deg = {b_deg}
n_pairs = {n_pairs}
pool_fields = 32.0
partial_share = 0.3

# As wide as the sky: walls, patchy dust, any number of clouds. Where you know the largest total, say so.
[profiles]
{_PRIOR_OF_NEAR_DUST if near else _PRIOR}wall_share = 0.35
patchiness_max = 1.0
patchiness_power = 2.0
patchy_layers = 2

# Published A(J)/A(Ks) are 2.5 to 3.1.
[nuisances]
law_ratio_sigma = 0.2
law_ratio_mean = 0.23

[network]
preset = "planes"

[training]
batch_size = 256
epochs = {epochs}
learning_rate = 1e-3
gradient_norm = 1.0
"""


def _surveys(names):
    if len(names) > 1:
        return f"surveys = {json.dumps(list(names))}\n"
    with_gaia = json.dumps([*names, "gaia_dr3"])
    return f"# With Gaia beside it: surveys = {with_gaia}\nsurvey = {json.dumps(names[0])}\n"


def _comment(text):
    return textwrap.fill(text, 110, initial_indent="# ", subsequent_indent="# ")


_PRIOR = """\
total_max_mag = 6.0
disc = true
clouds_mean = 1.5
cloud_fraction_max = 1.0
"""

# As of the configuration orion, where the sources are.
_PRIOR_OF_NEAR_DUST = """\
total_min_mag = 0.01
total_max_mag = 3.0
scale_height_min_kpc = 0.05
scale_height_max_kpc = 0.13
clouds_mean = 1.2
cloud_fwhm_min_kpc = 0.01
cloud_fwhm_max_kpc = 0.05
cloud_fraction_max = 1.0
"""

_CMD_OF_NEAR_DUST = """\
# Finer pixels than in the plane: the stars are fewer, and less reddened.
[cmd]
color_min_mag = -0.2
color_max_mag = 3.0
mag_min_mag = 7.4
mag_max_mag = 15.4

"""


def warnings_for(box: SkyBox) -> tuple[str, ...]:
    """Why a map of this region may not be good: lines without a full stop."""
    lines = []
    if box.distance_deg(0.0, 0.0) < 2.0:
        lines.append(
            "at the Galactic centre 2MASS is limited by crowding, it does not see through all of the dust, "
            "and no model of this software was tried there"
        )
    elif box.distance_deg(0.0, 0.0) < 10.0:
        lines.append(
            "in the bulge crowding takes much of 2MASS's depth, by a rule of thumb here, and what lies "
            "beyond 5 kpc depends on the model of the bulge"
        )
    if box.most_abs_b_deg > 30.0:
        lines.append(
            "above |b| = 30 deg a field has few stars, and its dust reddens them by less than colours are "
            "known to: take larger fields, and do not trust less than 0.05 mag"
        )
    for name, l_deg, b_deg, radius_deg in _GALAXIES:
        if box.distance_deg(l_deg, b_deg) < radius_deg:
            lines.append(f"{name} is in the region, and its stars pass for ours: leave those fields out")
    return tuple(lines)


def _sightlines(box, circle):
    if box.most_abs_b_deg >= _SQUARES_BELOW_DEG:
        l_deg, b_deg, radius_deg = circle or (0.0, math.copysign(90.0, box.b_max_deg + box.b_min_deg), 0.0)
        radius_deg = radius_deg or 90.0 - box.least_abs_b_deg
        region = SkyRegion(l_deg=l_deg % 360.0, b_deg=b_deg, radius_deg=radius_deg)
        return HealpixGrid(_NSIDE, (region,)), (
            "# HEALPix pixels, since squares in l and b are narrow near a pole.\n"
            f"[sightlines]\nnside = {_NSIDE}\n\n"
            f"[[sightlines.regions]]\nl_deg = {region.l_deg:.6g}\nb_deg = {b_deg:.6g}\n"
            f"radius_deg = {radius_deg:.6g}\n"
        )
    step = _STEP_DEG
    (l_min, l_max), (b_min, b_max) = _ranges(box, step)
    if (l_max - l_min) * (b_max - b_min) > _MAX_FIELDS * step**2:
        step = FIELD_DEG
        (l_min, l_max), (b_min, b_max) = _ranges(box, step)
    widest = MAX_WIDTH_DEG / math.cos(math.radians(box.most_abs_b_deg)) + step
    if l_max - l_min > widest or b_max - b_min > MAX_WIDTH_DEG + step:
        raise ConfigError(
            f"l {l_min:g} to {l_max:g}, b {b_min:g} to {b_max:g} is more than one map should be "
            f"({MAX_WIDTH_DEG:g} deg each way): make several, and merge them"
        )
    turn = 360.0 * math.floor(l_min / 360.0)
    grid = SightlineGrid(l_min - turn, l_max - turn, b_min, b_max, step, FIELD_DEG)
    names = ("l_min_deg", "l_max_deg", "b_min_deg", "b_max_deg", "step_deg", "field_deg")
    return grid, (
        "# Larger fields have more stars, and smear more.\n[sightlines]\n"
        + "".join(f"{name} = {getattr(grid, name)}\n" for name in names)
    )


def _ranges(box, step):
    return (
        _multiples(box.l_min_deg, box.l_max_deg, step),
        _multiples(box.b_min_deg, box.b_max_deg, step),
    )


def _multiples(low, high, step):
    """First and last multiple of a step in a range, its ends included; the nearest where it has none."""
    first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
    if first > last:
        first = last = round(0.5 * (low + high) / step)
    return first * step, last * step


def _training_sightlines(grid: SkyGrid) -> tuple[list[float], list[float]]:
    """Longitudes and latitudes in the middles of equal parts of a grid."""
    far = (
        min(abs(grid.b_min_deg), abs(grid.b_max_deg)) > _NEAR_DUST_DEG and grid.b_min_deg * grid.b_max_deg > 0
    )
    b_deg = _middles(grid.b_min_deg, grid.b_max_deg, _B_SPACING_FAR_DEG if far else _B_SPACING_DEG)
    cos_b = math.cos(math.radians(min(abs(b) for b in b_deg)))
    l_deg = _middles(grid.l_min_deg, grid.l_max_deg, min(90.0, _L_SPACING_DEG / cos_b))
    return [round(l % 360.0, 2) for l in l_deg], b_deg


def _middles(low, high, spacing):
    n = max(1 if high - low <= 1.0 else 2, math.ceil((high - low) / spacing - 1e-9))
    return [round(low + (high - low) * (i + 0.5) / n, 2) for i in range(n)]


def _distance(box):
    far_kpc = _DUST_KPC / math.sin(math.radians(max(box.least_abs_b_deg, 1.0)))
    step, n = next(
        (step, n)
        for step, n, reach in ((0.05, 40, 2.0), (0.05, 80, 4.0), (0.1, 100, math.inf))
        if far_kpc <= reach
    )
    return f"step_kpc = {step}\nn_distances = {n}\n"


def _amount(area_deg2):
    """Pairs, and passes over them."""
    for below_deg2, n_pairs, epochs in ((30.0, 200_000, 12), (150.0, 500_000, 8), (400.0, 1_000_000, 6)):
        if area_deg2 < below_deg2:
            return n_pairs, epochs
    return 1_500_000, 4
