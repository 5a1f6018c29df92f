import json

import pytest

from extmap_tf.errors import DataError
from extmap_tf.json_files import MAX_BYTES, JsonForm, read_bounded


def refuse_later(found, place):
    if found["version"] > 2:
        raise DataError(f"{place}: of version {found['version']}")


FORM = JsonForm(
    "table of things",
    {"name": str, "n": int, "size": (float, None), "parts": [{"x": float}], "others": {str: [int]}},
    "make the things again",
    "things",
    refuse_later,
)
GOOD = {
    "format": "things",
    "version": 2,
    "name": "a",
    "n": 3,
    "size": None,
    "parts": [{"x": 1}, {"x": 0.5, "more": {}}],
    "others": {"b": [1, 2]},
}


def test_what_was_written_is_read_back():
    for text in (json.dumps(GOOD), json.dumps(GOOD).encode()):
        assert FORM.parse(text, "f") == GOOD


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"\xff\xfe{}", "f: damaged table of things (no UTF-8 at byte 0); make the things again"),
        (b"", "Expecting value"),
        (b"{", "f: damaged table of things"),
        (b"[" * 100_000, "nested too deep"),
        (b"[" * 100 + b"]" * 100, "nested deeper than 32"),
        (b'{"a":' * 100_000, "nested too deep"),
        (b"[" + b"9" * 5000 + b"]", "a whole number of 5000 digits"),
        (b'["\\ud800"]', "half a character in a text"),
        (b"[]", "f: not a table of things of extmap_tf"),
        (b"null", "f: not a table of things of extmap_tf"),
        (b'{"format": "else"}', "f: not a table of things of extmap_tf"),
        (json.dumps(GOOD | {"version": 3, "name": 0}), "f: of version 3"),
    ],
)
def test_what_is_no_such_file_is_refused_in_a_line(text, message):
    with pytest.raises(DataError) as caught:
        FORM.parse(text, "f")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 1}, "name is 1"),
        ({"n": True}, "n is True"),
        ({"n": 0.5}, "n is 0.5"),
        ({"size": "x"}, "size is 'x'"),
        ({"parts": {}}, "parts is {}"),
        ({"parts": [{}]}, "no parts[0].x"),
        ({"others": {"b": [1, "2"]}}, "others.b[1] is '2'"),
        ({"others": 10 * [list(range(9))]}, "..."),
    ],
)
def test_a_value_of_another_type_is_named(change, message):
    with pytest.raises(DataError) as caught:
        FORM.parse(json.dumps(GOOD | change), "f")
    assert message in str(caught.value)
    missing = {name: value for name, value in GOOD.items() if name not in change}
    with pytest.raises(DataError, match=f"no {next(iter(change))}"):
        FORM.parse(json.dumps(missing), "f")


def test_files_are_read_up_to_a_bound(tmp_path):
    with open(tmp_path / "big", "wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    with pytest.raises(DataError, match="longer than 64 MiB"):
        read_bounded(tmp_path / "big")
    for odd in ("missing", "/dev/zero", str(tmp_path)):
        with pytest.raises(DataError, match="no such file"):
            read_bounded(tmp_path / odd)
