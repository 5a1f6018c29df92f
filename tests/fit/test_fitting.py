import json

import numpy as np
import pytest

from extmap_tf.errors import ConfigError, DataError
from extmap_tf.fit import fitting
from extmap_tf.fit.fitting import fit_records
from extmap_tf.grids.squares import sightline_name
from extmap_tf.records.dataset import evaluation_dataset
from extmap_tf.records.manifest import Records
from extmap_tf.report.fits import evaluation_of, write_fits

QUICK = {"n_fields": 4.0, "n_iterations": 6, "echo": lambda line: None}


@pytest.fixture(scope="module")
def mock_fits(mock_records, saved_model):
    return fit_records(Records.open(mock_records), n_pairs=5, model=saved_model, **QUICK)


def test_pairs_are_fitted_in_the_order_of_the_records(mock_fits, mock_records):
    inputs, density = next(iter(evaluation_dataset(Records.open(mock_records), "test")))
    np.testing.assert_array_equal(mock_fits.counts, inputs["counts"].numpy()[:5])
    np.testing.assert_array_equal(mock_fits.density, density.numpy()[:5])
    assert len(set(mock_fits.l_deg)) == 2
    # The fitted stars are those of each pair, not of its neighbour.
    expected = mock_fits.fitted.expected.sum(axis=(1, 2))
    # A background of 0.001 stars a pixel adds four.
    np.testing.assert_allclose(expected, mock_fits.counts.sum(axis=(1, 2)), rtol=0.25, atol=6.0)


def test_fit_and_model_are_compared_on_the_same_pairs(mock_fits):
    for estimate in (mock_fits.fitted.profiles, mock_fits.model):
        rows = evaluation_of(mock_fits, estimate).overall
        assert [row.n for row in rows] == [5, 5, 5]
    assert evaluation_of(mock_fits, mock_fits.fitted.profiles).calibration


def test_a_folder_of_fits_says_all(mock_fits, tmp_path, mock_records):
    from astropy.table import Table

    write_fits(mock_fits, tmp_path / "out", {"of": ["x"]})
    assert len(list((tmp_path / "out").glob("*.png"))) == 5
    found = json.loads((tmp_path / "out" / "fit.json").read_text())
    assert found["of"] == ["x"]
    assert found["errors"]["overall"][0]["n"] == 5
    assert found["errors_of_model"]["overall"][0]["n"] == 5
    assert [row["name"] for row in found["sightlines"]] == mock_fits.names
    table = Table.read(tmp_path / "out" / "profiles.ecsv", format="ascii.ecsv")
    assert len(table) == 5 * 40
    assert table["extinction"].unit == "mag"
    np.testing.assert_allclose(
        table["extinction"].value.reshape(5, 40), mock_fits.fitted.profiles.extinction_median, rtol=1e-6
    )
    assert (table["extinction_p84"] >= table["extinction_p16"]).all()


def test_the_field_nearest_to_a_place_is_fitted(survey_records):
    records = Records.open(survey_records)
    fits = fit_records(records, [(284.12, -0.98), (284.09, -1.01)], **QUICK)
    assert fits.names == [sightline_name(284.1, -1.0)]
    assert fits.density is None
    assert fits.fitted.profiles.extinction_median.shape == (1, 40)


def test_fields_that_are_covered_in_part_have_as_many_stars_less(mock_records, monkeypatch):
    rng, whole = np.random.default_rng(1), fitting._mock_pairs

    def half(*which):
        parsed = whole(*which)
        counts = rng.binomial(parsed["counts"].astype(int), 0.5).astype(np.float32)
        return parsed | {"counts": counts, "coverage": np.full(len(counts), 0.5, np.float32)}

    monkeypatch.setattr(fitting, "_mock_pairs", half)
    fits = fit_records(Records.open(mock_records), n_pairs=2, **QUICK)
    np.testing.assert_allclose(fits.fitted.expected.sum(axis=(1, 2)), fits.counts.sum(axis=(1, 2)), rtol=0.25)
    # Taken to be whole, they would ask for half the stars of the model.
    assert (np.abs(np.log(fits.fitted.count_scale)) < 0.3).all()


@pytest.mark.parametrize(
    ("kind", "others", "error", "words"),
    [
        ("survey", {}, ConfigError, "name the sightlines to fit"),
        ("survey", {"sightlines": [(10.0, 0.0)]}, DataError, "l = 10, b = 0 is outside the records' grid"),
        ("mocks", {"sightlines": [(284.0, -1.0)]}, ConfigError, "they have pairs"),
        ("mocks", {"n_pairs": 0}, ConfigError, "must be 1 or more, got: 0"),
        ("mocks", {"split": "x"}, DataError, "no split 'x'"),
    ],
)
def test_what_cannot_be_fitted_is_said(kind, others, error, words, mock_records, survey_records):
    records = Records.open(survey_records if kind == "survey" else mock_records)
    with pytest.raises(error, match=words):
        fit_records(records, **others, **QUICK)
