import hashlib
import subprocess
import sys

import pytest
import tomli_w

from extmap_tf.errors import ConfigError, DataError, MismatchError
from extmap_tf.settings.config import Config, builtin_names
from extmap_tf.settings.identity import digest_of, require_same


@pytest.mark.parametrize("name", builtin_names())
def test_builtin_configurations_survive_toml(name):
    config = Config.named(name)
    assert config.name == name
    again = Config.from_toml(config.to_toml())
    assert again == config
    assert again.digest == config.digest


def test_carina_is_the_papers_sector():
    config = Config.named("carina")
    grid = config.sightlines
    assert (grid.l_min_deg, grid.l_max_deg, grid.b_min_deg, grid.b_max_deg) == (257, 303, -5, 5)
    assert grid.field_deg == 0.5
    assert config.distance.step_kpc == 0.1
    assert len(config.mocks.sightlines_deg()) == 9
    assert config.diagrams[0].shape == (64, 64)


def test_digest_changes_with_any_value_and_parts_only_with_their_own():
    config = Config.named("carina")
    other = config.replace(**{"training.epochs": 3})
    assert other.digest != config.digest
    assert other.observation == config.observation
    cut = config.replace(**{"survey.cuts.max_error_mag": 0.1})
    assert cut.observation != config.observation
    assert cut.target == config.target


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = [", r"x\.toml: not valid TOML"),
        ("nam = 'a'", r"x\.toml: unknown key 'nam'; known: .*name"),
        ("name = 'a'", r"x\.toml: missing key 'survey'"),
        ("name = 3", r"x\.toml: name must be of type str, got: 3"),
    ],
)
def test_bad_toml_is_refused_with_its_place(text, message):
    with pytest.raises(ConfigError, match=message):
        Config.from_toml(text, "x.toml")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("survey.cuts.ph_qual_keep", "AU", r"\[survey\.cuts\]: ph_qual_keep must be .*, got: 'AU'"),
        ("survey.red.snr11_mag", 3.0, r"unknown key 'snr11_mag'; known: .*snr10_mag"),
        ("surve.red", 3.0, r"^configuration surve\.red: no section 'surve'"),
        ("training.epochs", 0, r"\[training\]: epochs must be"),
        ("training.epochs", 2.5, r"training\.epochs must be of type int"),
        ("training.learning_rate", float("nan"), r"training\.learning_rate must be finite"),
        ("network.preset", "resnet", r"preset must be one of dense, cornu2022"),
        ("mocks.l_deg", [1.0, 400.0], r"\[mocks\]: l_deg must be"),
        ("mocks.pool_fields", 1.5, r"\[mocks\]: pool_fields must be 2 to 1000"),
        ("nuisances.color_sigma_mag", -0.1, r"\[nuisances\]: color_sigma_mag must be"),
        ("nuisances.count_sigma", 2.0, r"\[nuisances\]: count_sigma must be"),
        ("mocks.l_deg", [], r"\[mocks\]: l_deg must be one or more"),
        ("law.model", "ratio", r"\[law\]: blue_over_red must be"),
        ("mocks.split_salt", "x" * 65, r"\[mocks\]: split_salt must be at most 64 bytes long"),
        ("survey.cuts.max_error_mag", 0.02, r"max_error_mag is above J's error_floor_mag, 0\.023"),
        ("distance", 3, r"\[distance\] must be a table"),
    ],
)
def test_impossible_values_are_refused_with_their_place(key, value, message):
    with pytest.raises(ConfigError, match=message):
        Config.named("carina").replace(**{key: value})


def test_catalogs_replace_the_sightlines_of_the_builtin_galaxy():
    catalog = {"path": "a.resu", "l_deg": 280.0, "b_deg": 1.0, "area_deg2": 2.0}
    config = Config.named("carina").replace(
        **{"mocks.l_deg": [], "mocks.b_deg": [], "mocks.catalogs": [catalog]}
    )
    assert config.mocks.sightlines_deg() == ((280.0, 1.0),)
    with pytest.raises(ConfigError, match="catalogs must be left out"):
        Config.named("carina").replace(**{"mocks.catalogs": [catalog]})


def catalog_toml(tmp_path, content, area_deg2=2.0):
    """A configuration with one catalog file beside it; its path."""
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "stars.csv").write_text(content)
    catalog = {"path": "stars.csv", "l_deg": 280.0, "b_deg": 1.0, "area_deg2": area_deg2}
    data = Config.named("carina").to_dict()
    data["mocks"] |= {"l_deg": [], "b_deg": [], "catalogs": [catalog]}
    path = tmp_path / "mine.toml"
    path.write_text(tomli_w.dumps(data))
    return path


def test_catalogs_lie_beside_the_toml_file_and_their_content_makes_the_digest(tmp_path):
    first, moved, other = (
        Config.load(catalog_toml(tmp_path / name, content))
        for name, content in (("a", "J,Ks\n"), ("b", "J,Ks\n"), ("c", "J,K\n"))
    )
    (catalog,) = first.mocks.catalogs
    assert catalog.path == str(tmp_path / "a" / "stars.csv")
    assert catalog.sha256 == hashlib.sha256(b"J,Ks\n").hexdigest()
    assert first.digest == moved.digest
    assert first.digest != other.digest
    assert Config.from_dict(first.to_dict()).digest == first.digest


def test_a_catalog_too_small_for_its_fields_is_refused_with_both_areas(tmp_path):
    path = catalog_toml(tmp_path, "J,Ks\n", area_deg2=1.9)
    message = r"stars\.csv covers 1\.9 deg2, too little for fields of 0\.25 deg2: give 2 deg2 or more"
    with pytest.raises(ConfigError, match=message):
        Config.load(path)


def test_a_survey_is_named_or_a_file_beside_the_toml_file(tmp_path):
    survey = Config.named("carina").to_dict()["survey"] | {"name": "VVV"}
    (tmp_path / "vvv.toml").write_text(tomli_w.dumps(survey))
    path = tmp_path / "mine.toml"
    data = Config.named("carina").to_dict() | {"survey": "vvv.toml"}
    path.write_text(tomli_w.dumps(data))
    config = Config.load(path)
    assert config == Config.named("carina").replace(**{"survey.name": "VVV"})
    assert config.replace(survey="2mass") == Config.named("carina")


def test_a_survey_that_is_not_there_names_those_that_are(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(tomli_w.dumps(Config.named("carina").to_dict() | {"survey": "ukidss.toml"}))
    with pytest.raises(
        ConfigError,
        match=r"mine\.toml: survey must be .*\(2mass, 2mass_h, gaia_dr3\).*ukidss\.toml: no such file",
    ):
        Config.load(path)
    (tmp_path / "ukidss.toml").write_text("nam = 3")
    with pytest.raises(ConfigError, match=r"ukidss\.toml: unknown key 'nam'"):
        Config.load(path)


@pytest.mark.parametrize(
    "name", ["a\0b", "/dev/zero", "", "a" * 5000], ids=["nul", "device", "empty", "long"]
)
def test_a_survey_that_is_no_file_is_refused_at_once(name, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(tomli_w.dumps(Config.named("carina").to_dict() | {"survey": name}))
    with pytest.raises(ConfigError, match=r"mine\.toml: survey must be a table, .*: no such file$"):
        Config.load(path)


def test_a_stored_configuration_opens_no_survey_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = Config.named("carina")
    (tmp_path / "vvv.toml").write_text(tomli_w.dumps(config.to_dict()["survey"]))
    stated = {"config": config.to_dict() | {"survey": "vvv.toml"}, "config_digest": config.digest}
    with pytest.raises(ConfigError, match=r"m: \[survey\] must be a table, got: 'vvv\.toml'"):
        Config.from_stated(stated, "m")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'name = "d\xe9mo"', "not a TOML text: no UTF-8 at byte 9"),
        (b"name = [\n" + 100_000 * b"[\n", "not valid TOML: nested too deep"),
        (100_000 * b"[", "too long for a configuration: 100000 characters"),
        (b"a" + 100_000 * b".a" + b" = 1", "too long for a configuration: 200005 characters"),
        (b"seed = " + 5_000 * b"9", "not valid TOML: a whole number of too many digits"),
        (b"seed = 0x" + 5_000 * b"f", r"seed must be within \+-2\^63, got: a number of 20000 bits"),
        (b"distance.step_kpc = 0x" + 5_000 * b"f", r"distance\.step_kpc must be within \+-2\^63"),
        (b'seed = "' + 5_000 * b"9" + b'"', r"seed must be of type int, got: '9+\.\.\.$"),
        (b"seed = 1979-05-27", r"seed must be of type int, got: datetime\.date"),
        (b"distance = []", r"\[distance\] must be a table, got: \[\]"),
    ],
)
def test_a_text_that_is_no_configuration_is_told_in_one_line(content, message, tmp_path):
    path = tmp_path / "x.toml"
    whole = Config.named("carina").to_dict()
    if b"seed" in content or b"distance" in content:
        key = "seed" if b"seed" in content else "distance"
        rest = tomli_w.dumps({name: value for name, value in whole.items() if name != key})
        content = content + b"\n" + rest.encode()
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"x\.toml: {message}") as caught:
        Config.load(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_names_the_builtin_ones(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml: no such file.*carina"):
        Config.load(tmp_path / "nowhere.toml")


def test_write_keeps_what_is_there(tmp_path):
    path = tmp_path / "a.toml"
    Config.named("carina").write(path)
    with pytest.raises(DataError, match="exists already"):
        Config.named("carina").write(path)
    assert Config.load(path) == Config.named("carina")
    assert [p.name for p in tmp_path.iterdir()] == ["a.toml"]


def test_mismatch_names_both_sides_and_the_value():
    a, b = Config.named("carina"), Config.named("carina").replace(**{"cmd.n_color": 32})
    with pytest.raises(MismatchError) as caught:
        require_same("observation", a.observation, "model m", b.observation, "records r")
    text = str(caught.value)
    for part in ("model m", "records r", "cmd.n_color", "64", "32", digest_of(a.observation)):
        assert part in text
    require_same("observation", a.observation, "model m", a.observation, "records r")


def test_importing_the_package_and_asking_for_help_load_nothing_heavy():
    code = (
        "import sys, extmap_tf\n"
        "from extmap_tf.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'tensorflow', 'keras', 'apache_beam', 'grpc', 'astropy', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
