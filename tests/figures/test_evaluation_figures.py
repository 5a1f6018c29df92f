import dataclasses

import numpy as np
import pytest

from extmap_tf.errors import DataError
from extmap_tf.estimate import PERCENTILES, ProfileEstimate
from extmap_tf.evaluation.metrics import compare_maps, evaluate
from extmap_tf.figures import evaluation as figures
from extmap_tf.grids.distance import DistanceGrid

GRID = DistanceGrid(0.5, 10)


@pytest.fixture(scope="module")
def evaluation():
    rng = np.random.default_rng(1)
    truth = np.cumsum(rng.gamma(0.5, 0.2, (60, 10)), axis=1)
    percentiles = truth[:, None] + np.linspace(-1, 1, len(PERCENTILES))[:, None]
    spread = {}
    for name in ("extinction", "density"):
        spread |= {f"{name}_median": truth + 0.1, f"{name}_mean": truth, f"{name}_std": truth}
        spread[f"{name}_percentiles"] = percentiles
    estimate = ProfileEstimate(**spread, flag=np.zeros(60, int))
    return evaluate(ProfileEstimate.of_density(truth / 0.5, 0.5), estimate, np.arange(60), GRID)


def test_all_that_an_evaluation_holds_is_drawn(evaluation, make_map, tmp_path):
    drawn = figures.draw_evaluation(evaluation, tmp_path / "a", suffix="pdf")
    names = {"errors", "errors_by_class", "density_errors", "coverage", "ranks"}
    assert {path.stem for path in drawn} == names | {"density_coverage", "density_ranks"}
    assert all(path.read_bytes().startswith(b"%PDF") for path in drawn)
    of_maps = compare_maps(make_map(seed=1), make_map(seed=2, kind="truth"))
    drawn = figures.draw_evaluation(of_maps, tmp_path / "b", suffix="pdf")
    assert {path.stem for path in drawn} == {"errors", "errors_by_class", "density_errors", "fingers_of_god"}


def test_nothing_is_drawn_where_one_figure_exists(evaluation, tmp_path):
    (tmp_path / "ranks.png").write_text("mine")
    with pytest.raises(DataError, match=r"ranks\.png exists already"):
        figures.draw_evaluation(evaluation, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["ranks.png"]


def test_errors_of_classes_are_curves_at_every_distance(evaluation):
    classes = [row for row in evaluation.curves if row.group != "all"]
    size, bias, relative = figures.errors_against_distance(classes).axes
    groups = list(dict.fromkeys(row.group for row in classes))
    names = [line.get_label() for line in size.lines if not line.get_label().startswith("_")]
    assert names == [*groups, "mean |error|", "rms error"]
    curve = next(line for line in size.lines if line.get_label() == groups[1])
    rows = [row for row in classes if row.group == groups[1]]
    np.testing.assert_allclose(curve.get_xdata(), GRID.outer_kpc)
    np.testing.assert_allclose(curve.get_ydata(), [row.mean_absolute_error_mag for row in rows])
    np.testing.assert_allclose(bias.lines[1].get_ydata(), [row.bias_mag for row in rows])
    np.testing.assert_allclose(relative.lines[1].get_ydata(), [100 * row.relative_error for row in rows])
    assert "curves" not in evaluation.to_dict()
    with pytest.raises(DataError, match="nothing to draw"):
        figures.errors_against_distance([])


def test_errors_of_the_density_are_steps_over_their_ranges(evaluation):
    rows = [row for row in evaluation.density if row.group == "all"]
    size, relative = figures.density_errors_against_distance(rows).axes
    steps, shares = size.patches[0].get_data(), relative.patches[0].get_data()
    np.testing.assert_allclose(steps.edges, [0.0, *(row.to_kpc for row in rows)])
    np.testing.assert_allclose(steps.values, [row.mean_absolute_error_mag_kpc for row in rows])
    np.testing.assert_allclose(shares.values, [100 * row.relative_error for row in rows])


def test_fingers_are_powers_and_their_ratio(make_map):
    found = compare_maps(make_map(seed=1), make_map(seed=2, kind="truth")).fingers
    across, along, ratio = figures.fingers(found).axes
    assert [line.get_label() for line in across.lines] == ["truth", "estimate"]
    of_truth, of_estimate = across.lines
    np.testing.assert_allclose(of_truth.get_ydata(), found.across_truth[1:])
    np.testing.assert_allclose(of_estimate.get_xdata(), found.cycles_per_kpc[1:])
    expected = np.array(found.across_estimate[1:]) / np.array(found.along_estimate[1:])
    np.testing.assert_allclose(ratio.lines[1].get_ydata(), expected)
    assert (across.get_xscale(), along.get_yscale()) == ("log", "log")


def test_coverage_is_a_curve_over_all_distances_in_percent(evaluation):
    for rows, curves, d_kpc in (
        (evaluation.calibration, evaluation.calibration_curves, GRID.outer_kpc),
        (evaluation.density_calibration, evaluation.density_calibration_curves, GRID.centers_kpc),
    ):
        axis = figures.coverage(rows, curves).axes[0]
        line = next(line for line in axis.lines if line.get_label() == "central 68 %")
        np.testing.assert_allclose(line.get_xdata(), d_kpc)
        np.testing.assert_allclose(line.get_ydata(), [100 * row.coverage_68 for row in curves])
        # Where the rows are, both agree.
        at = {row.distance_kpc: row.crps for row in curves}
        some = [row for row in rows if row.group == "all"]
        np.testing.assert_allclose([at[row.distance_kpc] for row in some], [row.crps for row in some])
    assert not [name for name in evaluation.to_dict() if name.endswith("curves")]


def test_honest_ranks_are_flat(evaluation):
    honest = tuple(np.diff([0, *PERCENTILES, 100]) / 100)
    row = dataclasses.replace(evaluation.calibration[0], ranks=honest)
    figure = figures.ranks([row])
    np.testing.assert_allclose(figure.axes[0].patches[0].get_data().values, 1.0)


def test_an_evaluation_without_rows_is_refused():
    with pytest.raises(DataError, match="nothing to draw"):
        figures.coverage([], [])
