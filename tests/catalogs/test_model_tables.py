import dataclasses
import gzip
import io
import logging

import numpy as np
import pytest
from astropy.table import Table

from extmap_tf.catalogs.model_tables import johnson_to_2mass, read_model_catalog
from extmap_tf.errors import DataError
from extmap_tf.settings.config import Config

SURVEY = Config.named("carina").survey

RESU = """
   *      BESANCON MODEL OF STELLAR POPULATION SYNTHESIS 2003-12
  (l =   280.0; b =   -3.0)  Distance  0.0 a  50.0 kpc;  Solid angle      0.250  square degree
      System:  Johnson-Cousins-IRAS VBURIJHKL+12+25  0.323  0.257
{header}
{rows}
{header}
  Star density before selection    34935208.927

  TOTAL NUMBER OF STARS :    {n}
"""
V_HEADER = "  Dist    Mv  CL Typ  LTef  logg Age Mass  J-H    H-K    J-K    V-K    V   [Fe/H] l  b  Av   Mbol"
V_ROWS = [
    "  0.500 10.2  5 7.20 3.559 4.85 7 0.48 0.600 0.200  0.800  4.000 15.000  0.02  280.1 -3.10 0.000 8.671",
    "  2.000 10.2  5 7.20 3.559 4.85 7 0.48 0.600 0.300  0.900  4.500 16.000  0.02  279.9 -2.90 0.000 8.671",
]
K_HEADER = "  Dist    Mv  CL Typ  LTef  logg Age Mass  V-K    J-K    K   [Fe/H] l  b  Av   Mbol"
K_ROWS = [
    "  0.500 10.2  5 7.20 3.559 4.85 7 0.48 4.000  0.800 11.000  0.02  280.1 -3.10 0.000 8.671",
    "  2.000 10.2  5 7.20 3.559 4.85 7 0.48 4.500  0.900 11.500  0.02  279.9 -2.90 0.000 8.671",
]
WEB = """#   K    V-K     J-K     J-H     J-L     Mv   CL  longitude  latitude  RAJ2000   DEJ2000   Dist   Av
  11.000  4.000   0.800   0.600   0.409   14.52  5  359.9  -3.10   12.488455   12.242032   0.5000  0.000
  11.500  4.500   0.900   0.600   0.090   13.05  5    0.1  -2.90   12.300761   12.403763   2.0000  0.000
"""
TRILEGAL = """#Gc logAge [M/H] m_ini logL logTe logg m-M0 Av m2/m1 mbol J H Ks Mact
 1  7.17 -0.03 0.954 -0.255 3.734 4.55  5.00 {av} 0.0 12.7 11.8 11.2 11.0 0.95
 1  7.17 -0.03 0.954 -0.255 3.734 4.55 10.00 {av} 0.0 12.7 12.4 11.8 11.5 0.95
#TRILEGAL normally terminated
"""
JOHNSON = {0.5: (11.8, 11.0), 2.0: (12.4, 11.5)}


def resu(header=V_HEADER, rows=V_ROWS, n=None):
    return RESU.format(header=header, rows="\n".join(rows), n=len(rows) if n is None else n)


@pytest.fixture
def read(tmp_path):
    def read(content, name="model.txt", survey=SURVEY, **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_model_catalog(path, survey, **options)

    return read


def by_distance(catalog):
    columns = (catalog.distance_kpc, *catalog.magnitudes.values())
    return {round(float(d), 4): (float(j), float(ks)) for d, j, ks in zip(*columns, strict=True)}


def assert_stars(catalog, expected):
    stars = by_distance(catalog)
    assert stars.keys() == expected.keys()
    for distance, magnitudes in expected.items():
        assert stars[distance] == pytest.approx(magnitudes, abs=2e-6)


def as_2mass(stars):
    return {d: (0.972 * (j - k) - 0.011 + k - 0.044, k - 0.044) for d, (j, k) in stars.items()}


def law(wavelength_um):
    return 0.4 * wavelength_um**-1.6


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize(("header", "rows"), [(V_HEADER, V_ROWS), (K_HEADER, K_ROWS)], ids=["V", "K"])
def test_besancon_2003_is_read_with_both_colour_sets(read, header, rows, zipped):
    content = resu(header, rows).encode()
    catalog, rejected = read(gzip.compress(content) if zipped else content)
    assert_stars(catalog, as_2mass(JOHNSON))
    assert rejected == {}
    assert (catalog.l_deg, catalog.b_deg) == pytest.approx((280.0, -3.0))
    assert catalog.area_deg2 == 0.25
    assert "johnson" in catalog.source


def test_besancon_web_output_is_read_across_longitude_zero(read):
    catalog, _ = read(WEB, area_deg2=2.0)
    assert_stars(catalog, as_2mass(JOHNSON))
    assert (catalog.l_deg + 180) % 360 == pytest.approx(180.0)
    assert (catalog.b_deg, catalog.area_deg2) == pytest.approx((-3.0, 2.0))


def test_trilegal_magnitudes_are_2mass_already(read):
    catalog, _ = read(TRILEGAL.format(av="0.000"), area_deg2=1.0, l_deg=280.0, b_deg=-3.0)
    assert_stars(catalog, {0.1: (11.8, 11.0), 1.0: (12.4, 11.5)})


@pytest.mark.parametrize("form", ["csv", "fits", "parquet", "ecsv", "hdf5"])
def test_synthpop_like_tables_are_read_from_any_format(read, form):
    table = Table({"Dist": [0.5, 2.0], "l": [280.1, 279.9], "b": [-3.1, -2.9]})
    table["2MASS_J"], table["2MASS_Ks"] = [11.8, 12.4], [11.0, 11.5]
    if form == "hdf5":
        h5py = pytest.importorskip("h5py")
        out = io.BytesIO()
        with h5py.File(out, "w") as file:
            for column in table.colnames:
                file[f"table/columns/{column}/data"] = np.asarray(table[column])
        content = out.getvalue()
    elif form == "parquet":
        import pyarrow as pa
        import pyarrow.parquet

        out = io.BytesIO()
        pa.parquet.write_table(pa.table({c: np.asarray(table[c]) for c in table.colnames}), out)
        content = out.getvalue()
    else:
        out = io.BytesIO() if form == "fits" else io.StringIO()
        table.write(out, format={"csv": "ascii.csv", "ecsv": "ascii.ecsv"}.get(form, form))
        content = out.getvalue()
    catalog, _ = read(content, area_deg2=1.0)
    assert_stars(catalog, JOHNSON)
    assert (catalog.l_deg, catalog.b_deg) == pytest.approx((280.0, -3.0))
    assert "no A_V column" in catalog.source


def test_columns_named_by_the_user_are_used(read):
    content = "rad_pc,m1,m2,ext\n500,11.8,11.0,0\n2000,12.4,11.5,0\n"
    columns = {"distance_pc": "rad_pc", "blue": "m1", "red": "m2", "av": "ext"}
    place = {"area_deg2": 1.0, "l_deg": 0.0, "b_deg": 0.0}
    assert_stars(read(content, columns=columns, **place)[0], JOHNSON)
    assert_stars(read(content, columns=columns, system="johnson", **place)[0], as_2mass(JOHNSON))
    with pytest.raises(DataError, match="both magnitudes"):
        read(content, columns={"distance_pc": "rad_pc", "blue": "m1"}, **place)


def test_an_h_band_survey_takes_h_from_the_colours(read):
    blue = dataclasses.replace(SURVEY.blue, name="H", wavelength_um=1.66)
    catalog, _ = read(resu(), survey=dataclasses.replace(SURVEY, blue=blue))
    ks = 11.0 - 0.044
    assert by_distance(catalog)[0.5] == pytest.approx((ks + 0.996 * 0.2 + 0.028, ks), abs=2e-6)


def test_johnson_to_2mass_follows_carpenter_2001():
    j, h, ks = johnson_to_2mass(1.0, 0.5, 0.0)
    assert (j - ks, h - ks, ks) == pytest.approx((0.972 - 0.011, 0.498 + 0.028, -0.044))


def test_extinction_is_refused_without_a_law_and_undone_with_one(read):
    content = TRILEGAL.format(av="1.000")
    place = {"area_deg2": 1.0, "l_deg": 280.0, "b_deg": -3.0}
    with pytest.raises(DataError, match=r"carry extinction \(A_V up to 1.000 mag\)"):
        read(content, **place)
    catalog, _ = read(content, a_over_av=law, **place)
    a_j, a_ks = law(SURVEY.blue.wavelength_um), law(SURVEY.red.wavelength_um)
    assert_stars(catalog, {0.1: (11.8 - a_j, 11.0 - a_ks), 1.0: (12.4 - a_j, 11.5 - a_ks)})
    assert "A_V up to 1.000 mag removed" in catalog.source


def test_extinction_in_another_band_is_refused(read):
    with pytest.raises(DataError, match="column A_Ks says"):
        read("Dist,J,Ks,A_Ks\n1,12,11,0.3\n", area_deg2=1.0, l_deg=0.0, b_deg=0.0)


def test_rows_that_cannot_be_used_are_counted_and_logged(read, caplog):
    content = "Dist,J,Ks\n1,12,11\n-1,12,11\n1,99.9,11\n1,12,\n1,12,99\n2,# a remark\n"
    with caplog.at_level(logging.WARNING):
        catalog, rejected = read(content, area_deg2=1.0, l_deg=0.0, b_deg=0.0)
    assert catalog.n_stars == 1
    of_cells = {"no J magnitude": 1, "no Ks magnitude": 2, "no distance": 1}
    assert rejected == of_cells | {"a remark, no row": 1}
    assert "5 of 6 rows left out" in caplog.text


def test_the_order_is_shuffled_and_the_same_each_time(read):
    rows = "".join(f"{0.001 * i:.3f},{10 + 0.001 * i:.3f},10\n" for i in range(1, 2001))
    first, _ = read("Dist,J,Ks\n" + rows, area_deg2=1.0, l_deg=0.0, b_deg=0.0)
    again, _ = read("Dist,J,Ks\n" + rows, area_deg2=1.0, l_deg=0.0, b_deg=0.0)
    other, _ = read("Dist,J,Ks\n" + rows, area_deg2=1.0, l_deg=0.0, b_deg=0.0, seed=1)
    np.testing.assert_array_equal(first.distance_kpc, again.distance_kpc)
    assert (first.distance_kpc != other.distance_kpc).any()
    np.testing.assert_allclose(first.magnitudes["J"], 10 + first.distance_kpc, atol=1e-5)
    # The mean of 200 of 2000 numbers uniform in 0..2 scatters by 0.04.
    assert first.distance_kpc[:200].mean() == pytest.approx(1.0, abs=0.16)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (resu(n=3), {}, "2 stars, but the footer counts 3"),
        (resu().rsplit(V_HEADER, 1)[0], {}, "truncated"),
        (resu(rows=[V_ROWS[0], V_ROWS[1].replace(" 8.671", "")]), {}, "line 7 has 17 values for 18 columns"),
        (resu(K_HEADER.replace("J-K", "B-V"), K_ROWS), {}, "no J magnitude nor colours"),
        (WEB, {}, "solid angle is not in the file"),
        (TRILEGAL.format(av="0.0"), {"area_deg2": 1.0}, "position is not in the file"),
        (TRILEGAL.format(av="0.0").rsplit("#", 1)[0], {"area_deg2": 1.0}, "normally terminated"),
        ("J,Ks\n12,11\n", {}, "no distance"),
        ("Dist,J,K\n1,12,11\n", {}, "system is not stated"),
        ("Dist,Ks\n1,12\n", {}, "no J magnitude"),
        ("Dist,J,Ks\n0,12,11\n", {"area_deg2": 1.0}, "none of 1 rows can be used: no distance: 1"),
        ("Dist,J,Ks\n1,12,11\n", {"area_deg2": -1.0, "l_deg": 0.0, "b_deg": 0.0}, "solid angle must be"),
        ("Dist,J,Ks\n1,12,11\n", {"system": "vista"}, "must be one of 2mass, johnson"),
        ("Dist,J,Ks,Av\n1,12,11,\n", {}, "1 rows can be used: no extinction, of stars that carry it: 1"),
        ("", {}, "empty"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(read, content, options, message):
    with pytest.raises(DataError, match=message) as error:
        read(content, **options)
    assert "\n" not in str(error.value)
    assert "model.txt: " in str(error.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_model_catalog(tmp_path / "none.resu", SURVEY)


@pytest.mark.parametrize(
    ("file", "n_stars", "place", "center"),
    [
        ("besancon/resu_2003_v.txt", 13, {}, (10.62, -0.38)),
        ("besancon/web_jhkl.cat", 4915, {"area_deg2": 1.0}, (121.88, -50.68)),
        (
            "trilegal/starfield.csv",
            10052,
            {"area_deg2": 1.0, "l_deg": 120.57, "b_deg": -55.26},
            (120.57, -55.26),
        ),
    ],
)
def test_real_model_output_is_read_whole(shared_data, file, n_stars, place, center):
    with pytest.raises(DataError, match="carry extinction"):
        read_model_catalog(shared_data / file, SURVEY, **place)
    catalog, rejected = read_model_catalog(shared_data / file, SURVEY, a_over_av=law, **place)
    assert catalog.n_stars == n_stars
    assert rejected == {}
    assert (catalog.l_deg, catalog.b_deg) == pytest.approx(center, abs=0.01)
    # Stars of a field, most of them dwarfs: J - Ks of the M dwarfs' plateau at most.
    assert 0.6 < np.median(catalog.magnitudes["J"] - catalog.magnitudes["Ks"]) < 0.9
