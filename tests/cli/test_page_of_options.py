from pathlib import Path

import extmap_tf.cli
from extmap_tf.cli import COMMANDS
from extmap_tf.cli.reference import reference_page

PAGE = Path(extmap_tf.cli.__file__).with_name("README.md")


def test_the_page_of_options_is_the_one_made_from_the_commands():
    assert PAGE.read_text() == reference_page(), (
        "make it anew: python -m extmap_tf.cli.reference > extmap_tf/cli/README.md"
    )


def test_every_command_has_a_part_and_every_option_a_meaning():
    lines = reference_page().splitlines()
    for command in COMMANDS:
        assert f"## extmap-tf {command.name}" in lines
    rows = [line for line in lines if line.startswith("| `")]
    assert len(rows) > 80
    assert not [row for row in rows if row.endswith("|  |")]
