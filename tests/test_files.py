"""Outputs are whole or not there, whatever fails, is killed or runs at the same time."""

import errno
import os
import subprocess
import sys
import tempfile

import pytest

from extmap_tf.errors import DataError
from extmap_tf.files import (
    alone_in,
    scratch_folder,
    temporary_files_in_scratch,
    temporary_place,
    whole_file,
    whole_path,
    whole_paths,
)


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


def replace_folder(out):
    with whole_path(out, overwrite=True, folder_with="mark") as temporary:
        temporary.mkdir()
        (temporary / "mark").write_text("new")


def marked_folder(out):
    out.mkdir()
    (out / "mark").write_text("old")
    return out


def test_without_an_exchange_of_names_a_folder_comes_back_where_the_new_one_cannot_take_its_name(
    tmp_path, monkeypatch
):
    out = marked_folder(tmp_path / "out")
    rename = os.rename

    def interrupted(source, target):
        if source.name == target.name:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr("extmap_tf.files._exchange", lambda *_: False)
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", interrupted)
        with pytest.raises(KeyboardInterrupt):
            replace_folder(out)
    assert (out / "mark").read_text() == "old"
    replace_folder(out)
    assert (out / "mark").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def killed(code, *argv):
    """Run code that kills itself."""
    done = subprocess.run([sys.executable, "-c", f"import os, sys\n{code}", *map(str, argv)])
    assert done.returncode == -9


KILLED_AT_WORK = """
from extmap_tf.files import whole_path
with whole_path(sys.argv[1], overwrite=True, folder_with="mark") as temporary:
    temporary.mkdir()
    os.kill(os.getpid(), 9)
"""
KILLED_BETWEEN_RENAMES = """
from extmap_tf import files
files._exchange = lambda *_: False
rename = os.rename
os.rename = lambda *paths: (rename(*paths), os.kill(os.getpid(), 9))
with files.whole_path(sys.argv[1], overwrite=True, folder_with="mark") as temporary:
    temporary.mkdir()
"""


@pytest.mark.parametrize("code", [KILLED_AT_WORK, KILLED_BETWEEN_RENAMES])
def test_the_next_run_removes_what_a_killed_one_left_and_keeps_what_it_was_to_replace(code, tmp_path):
    out = marked_folder(tmp_path / "out")
    killed(code, out)
    assert len(list(tmp_path.glob(".out.*.incomplete"))) == 1
    with whole_path(out, overwrite=True, folder_with="mark") as temporary:
        assert (out / "mark").read_text() == "old"
        temporary.mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_scratch_folders_of_killed_runs_are_removed_and_those_at_work_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    killed(
        "from extmap_tf.files import scratch_folder\nimport tempfile\ntempfile.tempdir = sys.argv[1]\n"
        "with scratch_folder(): os.kill(os.getpid(), 9)",
        tmp_path,
    )
    assert len(list(tmp_path.iterdir())) == 1
    with scratch_folder() as one, scratch_folder() as other:
        assert sorted(tmp_path.iterdir()) == sorted([one, other])
    assert list(tmp_path.iterdir()) == []


def test_temporary_files_of_libraries_go_with_the_scratch_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary_files_in_scratch():
        left = tempfile.mkdtemp()
        assert tempfile.gettempdir() != str(tmp_path)
        assert left.startswith(tempfile.gettempdir())
        assert temporary_place() == tmp_path
    assert tempfile.gettempdir() == str(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("links", [True, False])
def test_of_two_writers_the_second_fails_and_the_first_output_stays(links, tmp_path, monkeypatch):
    path = tmp_path / "a.txt"

    def refused(*_):
        raise PermissionError(errno.EPERM, "no links")

    if not links:
        monkeypatch.setattr(os, "link", refused)

    def write_while_another_run_does():
        with whole_file(path) as second:
            with whole_file(path) as first:
                first.write("first")
            second.write("second")

    with pytest.raises(DataError, match=r"a\.txt was made by another run"):
        write_while_another_run_does()
    assert path.read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_of_two_writers_of_a_folder_the_second_fails(tmp_path):
    out = tmp_path / "out"

    def write_while_another_run_does():
        with whole_path(out) as second:
            second.mkdir()
            with whole_path(out) as first:
                first.mkdir()
                (first / "mark").write_text("first")

    with pytest.raises(DataError, match="out was made by another run"):
        write_while_another_run_does()
    assert (out / "mark").read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (lambda at_work: OSError(errno.ENOSPC, "No space left on device"), errno.ENOSPC),
        (lambda at_work: OSError(errno.EACCES, "Permission denied", str(at_work)), errno.EACCES),
        (lambda at_work: OSError("Not enough space on disk: requested 3"), errno.ENOSPC),
        (lambda at_work: OSError("5474 requested and 1984 written"), errno.ENOSPC),
    ],
)
def test_errors_of_the_system_name_the_output(error, number, tmp_path):
    path = tmp_path / "a.fits"
    with pytest.raises(OSError, match=r"a\.fits") as caught, whole_path(path) as temporary:
        raise error(temporary)
    assert (caught.value.errno, caught.value.filename) == (number, str(path))
    with pytest.raises(DataError, match=f"^{path}: odd$"), whole_path(path) as temporary:
        raise DataError(f"{temporary}: odd")
    with pytest.raises(FileNotFoundError, match="elsewhere"), whole_path(path):
        (tmp_path / "elsewhere").read_text()
    assert list(tmp_path.iterdir()) == []


def test_two_runs_are_not_at_work_in_one_folder(tmp_path):
    with alone_in(tmp_path):
        with pytest.raises(DataError, match="another run is at work there"), alone_in(tmp_path):
            pass
        assert tmp_path.is_dir()
    with alone_in(tmp_path):
        pass


def test_files_that_belong_together_appear_together(tmp_path):
    def write(fails):
        with whole_paths([tmp_path / "a" / "1", tmp_path / "a" / "2"]) as (one, other):
            one.write_text("one")
            if fails:
                raise RuntimeError
            other.write_text("other")

    with pytest.raises(RuntimeError):
        write(True)
    assert list(tmp_path.iterdir()) == []
    write(False)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["1", "2"]
