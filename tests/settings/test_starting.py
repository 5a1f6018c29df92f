"""A configuration to start from: it loads, can be meant, and holds the region that was asked for."""

from importlib import resources

import numpy as np
import pytest

from extmap_tf.cli import main
from extmap_tf.errors import ConfigError
from extmap_tf.grids.sphere import separation_deg
from extmap_tf.settings.config import Config
from extmap_tf.settings.sanity import MAX_AWAY_DEG, warnings_of
from extmap_tf.settings.starting import SkyBox, starting_text, warnings_for

CONFIGS = resources.files("extmap_tf") / "configs"

PLACES = [
    (285.0, 0.0, 4.0),
    (280.0, 0.0, 23.0),
    (0.0, 0.0, 3.0),
    (359.5, 0.0, 0.01),
    (212.0, -19.0, 4.0),
    (100.0, 60.0, 5.0),
    (120.0, 88.0, 5.0),
    (0.0, -90.0, 8.0),
    (45.0, 70.0, 30.0),
    (-10.0, 2.0, 1.0),
    (0.0, 79.9, 0.05),
]


@pytest.mark.parametrize(("l_deg", "b_deg", "radius_deg"), PLACES)
def test_a_start_can_be_meant_and_holds_the_region(l_deg, b_deg, radius_deg):
    circle = (l_deg, b_deg, radius_deg)
    text = starting_text(SkyBox.around(*circle), circle)
    config = Config.from_toml(text)
    assert warnings_of(config) == ()
    assert max(map(len, text.splitlines())) <= 118
    rng = np.random.default_rng(1)
    b = np.clip(b_deg + radius_deg * rng.uniform(-1, 1, 4000), -90, 90)
    l = l_deg + min(180.0, radius_deg / max(np.cos(np.radians(b)).min(), 1e-3)) * rng.uniform(-1, 1, 4000)
    inside = separation_deg(l, b, l_deg, b_deg) <= radius_deg
    assert inside.any()
    # Fields reach half of one farther than their centres do.
    position, _ = config.sightlines.fields_of(l[inside], b[inside])
    assert len(np.unique(position)) > 0.9 * np.count_nonzero(inside)
    # Each field has a training sightline near, whose stars are like its own.
    away = [
        separation_deg(*config.sightlines.centers_deg(), *place) for place in config.mocks.sightlines_deg()
    ]
    assert np.min(away, axis=0).max() < MAX_AWAY_DEG


def test_a_start_in_the_sector_of_the_shipped_model_is_one_that_it_can_serve():
    config, carina = Config.from_toml(starting_text(SkyBox.around(285.0, 0.0, 3.0))), Config.named("carina")
    assert (config.observation, config.target) == (carina.observation, carina.target)
    assert not carina.outside_region(*config.sightlines.centers_deg()).any()
    assert config.network.preset == "planes"
    assert config.profiles == Config.named("carina").profiles


def test_gaia_can_stand_beside():
    text = starting_text(SkyBox.around(285.0, 0.0, 1.0))
    (line,) = [line for line in text.splitlines() if "gaia_dr3" in line]
    _, surveys = line.split(": ")
    config = Config.from_toml(text.replace('survey = "2mass"', surveys))
    assert [survey.key for survey in config.surveys] == ["2mass", "gaia_dr3"]


def test_more_sky_has_more_pairs_and_far_from_the_plane_the_bins_end_sooner():
    starts = [Config.from_toml(starting_text(SkyBox.around(285.0, 0.0, r))) for r in (1.0, 4.0, 8.0, 25.0)]
    pairs = [config.mocks.n_pairs for config in starts]
    assert pairs == sorted(set(pairs))
    ends = [
        Config.from_toml(starting_text(SkyBox.around(100.0, b, 1.0))).distance.max_kpc
        for b in (0.0, 15.0, 60.0)
    ]
    assert ends == [10.0, 4.0, 2.0]


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ((0.5, 0.0, 2.0), ["Galactic centre"]),
        ((355.0, -6.0, 2.0), ["bulge"]),
        ((285.0, 0.0, 4.0), []),
        ((280.0, -33.0, 5.0), ["above |b| = 30", "Large Magellanic Cloud"]),
        ((303.0, -44.0, 1.0), ["above |b| = 30", "Small Magellanic Cloud"]),
        ((121.0, -22.0, 1.0), ["Andromeda"]),
    ],
)
def test_where_a_map_cannot_be_good_is_told(place, words):
    lines = warnings_for(SkyBox.around(*place))
    assert len(lines) == len(words)
    assert all(word in line for word, line in zip(words, lines, strict=True))
    text = " ".join(starting_text(SkyBox.around(*place), place).replace("# ", "").split())
    assert all(f"Careful: {line}." in text for line in lines)


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ((0.0, 91.0, 1.0), "--around needs l and b of the sky"),
        ((0.0, 0.0, 0.0), "--radius must be above 0 and at most 30 deg, got: 0"),
        ((0.0, 0.0, 31.0), "make several maps of a larger region"),
    ],
)
def test_a_region_that_cannot_be(place, line):
    with pytest.raises(ConfigError, match=line):
        SkyBox.around(*place)


def test_a_box_that_is_more_than_one_map():
    with pytest.raises(ConfigError, match="is more than one map should be"):
        starting_text(SkyBox(0.0, 90.0, -5.0, 5.0))


def test_the_command_prints_or_writes_it(tmp_path, capsys):
    given = ["config", "--around", "2,1", "--radius", "1"]
    assert main(given) == 0
    out, err = capsys.readouterr()
    assert "extmap-tf: warning: at the Galactic centre" in err
    assert Config.from_toml(out).name == "l2_b1"
    assert main([*given, "--out", str(tmp_path / "mine.toml")]) == 0
    assert (tmp_path / "mine.toml").read_text() == out
    capsys.readouterr()
    assert main([*given, "--out", str(tmp_path / "mine.toml")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "exists already" in line


def test_surveys_of_a_start(tmp_path, capsys):
    given = ["config", "--around", "285,0", "--radius", "1", "--surveys"]
    assert main([*given, "2mass,gaia_dr3"]) == 0
    config = Config.from_toml(capsys.readouterr().out)
    assert [survey.key for survey in config.surveys] == ["2mass", "gaia_dr3"]
    assert main([*given, "2mass_h"]) == 0
    text = capsys.readouterr().out
    assert '# With Gaia beside it: surveys = ["2mass_h", "gaia_dr3"]' in text
    assert [band.name for band in Config.from_toml(text).survey.bands] == ["J", "H", "Ks"]
    # A file of one's own lies beside the configuration.
    (tmp_path / "deep.toml").write_text((CONFIGS / "surveys" / "2mass.toml").read_text())
    assert main([*given, "deep.toml", "--out", str(tmp_path / "mine.toml")]) == 0
    assert Config.load(tmp_path / "mine.toml").survey == Config.named("carina").survey


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            ["--around", "2,1", "--radius", "1", "--surveys", "gaia_dr3"],
            "its bands are broad, so that it cannot be the first survey",
        ),
        (["--around", "2,1", "--radius", "1", "--surveys", "2mass,,"], "--surveys must be names of surveys"),
        (["--around", "2,1", "--radius", "1", "--surveys", "vvv"], "the name of a built-in one (2mass, "),
        (["--around", "2", "--radius", "1"], "--around needs L,B in degrees, got: '2'"),
        (["--from", "nowhere.csv"], "nowhere.csv: no such file"),
    ],
)
def test_wrong_words_are_one_line(options, line, capsys):
    assert main(["config", *options]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert line in said


@pytest.mark.parametrize(
    "options",
    [
        ["--around", "2,1"],
        ["--reference", "--radius", "1"],
        ["--show", "demo", "--out", "x"],
        ["--reference", "--surveys", "2mass"],
    ],
)
def test_options_that_do_not_go_together(options, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["config", *options])
    assert stopped.value.code == 2
    assert "go" in capsys.readouterr().err.splitlines()[-1]
