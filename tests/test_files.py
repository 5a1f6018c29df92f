import os

import pytest

from extmap_tf.errors import DataError
from extmap_tf.files import whole_file, whole_path


def test_a_block_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with whole_file(path, overwrite=True) as stream:
            stream.write("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_file_never_takes_the_place_of_a_folder(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="did not make"), whole_file(tmp_path / "folder", overwrite=True):
        pass
    assert (tmp_path / "folder").is_dir()


@pytest.mark.parametrize(("inside", "replaced"), [([], True), (["mark"], True), (["thesis.txt"], False)])
def test_a_folder_takes_the_place_of_its_own_kind_only(tmp_path, inside, replaced):
    out = tmp_path / "out"
    out.mkdir()
    for name in inside:
        (out / name).write_text("old")

    def replace():
        with whole_path(out, overwrite=True, folder_with="mark") as temporary:
            temporary.mkdir()
            (temporary / "mark").write_text("new")

    if replaced:
        replace()
        assert (out / "mark").read_text() == "new"
    else:
        with pytest.raises(DataError, match="did not make"):
            replace()
        assert (out / "thesis.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("fails", [True, False])
def test_parents_stay_only_with_what_was_made_in_them(tmp_path, fails):
    def write():
        with whole_file(tmp_path / "a" / "b" / "c.txt") as stream:
            stream.write("half")
            if fails:
                raise RuntimeError

    if fails:
        with pytest.raises(RuntimeError):
            write()
        assert list(tmp_path.iterdir()) == []
    else:
        write()
        assert (tmp_path / "a" / "b" / "c.txt").read_text() == "half"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (".", "holds the folder you are in"),
        ("..", "holds the folder you are in"),
        ("../inner/", "holds the folder you are in"),
        ("", "a path is empty"),
        ("gs://bucket/a", "only local paths"),
    ],
)
def test_what_cannot_be_replaced_is_refused_in_a_line(path, message, tmp_path, monkeypatch):
    for folder in (tmp_path, tmp_path / "inner"):
        folder.mkdir(exist_ok=True)
        (folder / "mark").write_text("old")
    monkeypatch.chdir(tmp_path / "inner")
    with (
        pytest.raises(DataError, match=message),
        whole_path(path, overwrite=True, folder_with="mark") as temporary,
    ):
        temporary.mkdir()
    assert (tmp_path / "inner" / "mark").read_text() == "old"


def test_a_folder_comes_back_where_the_new_one_cannot_take_its_name(tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mark").write_text("old")
    rename = os.rename

    def interrupted(source, target):
        if ".incomplete" in str(source):
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "rename", interrupted)
    with (
        pytest.raises(KeyboardInterrupt),
        whole_path(out, overwrite=True, folder_with="mark") as temporary,
    ):
        temporary.mkdir()
    assert (out / "mark").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
