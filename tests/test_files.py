import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mien.errors import RunError
from mien.files import check_replaceable, lock_file, whole_file, write_bytes, write_text


def test_writes_and_replaces(tmp_path):
    file = tmp_path / "new" / "a.txt"
    write_text(file, "one")
    write_text(file, "zwei ä")
    assert file.read_text(encoding="utf-8") == "zwei ä"
    assert os.listdir(file.parent) == ["a.txt"]


def test_a_name_that_the_file_system_refuses_is_said_as_it_was_given(tmp_path):
    path = tmp_path / ("n" * 252)
    with pytest.raises(RunError, match=r"/n{252} could not be written: File name too long"):
        write_bytes(path, b"x")
    assert not list(tmp_path.iterdir())


def test_a_written_file_is_readable_by_others_as_the_umask_says(tmp_path):
    former = os.umask(0o022)
    try:
        write_text(tmp_path / "a", "x")
    finally:
        os.umask(former)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644


def test_a_block_that_fails_leaves_the_former_content_and_no_litter(tmp_path):
    file = tmp_path / "a"
    write_text(file, "good")
    with pytest.raises(ZeroDivisionError), whole_file(file) as temporary:
        temporary.write_text("half")
        1 / 0  # noqa: B018
    assert file.read_text() == "good"
    assert os.listdir(tmp_path) == ["a"]


def test_a_full_disk_keeps_the_last_good_file(tmp_path):
    """A file-size limit makes the very write fail that a full disk would."""
    file = tmp_path / "a"
    write_bytes(file, b"good")
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, former[1]))
    try:
        with pytest.raises(RunError, match=r"a could not be written: File too large"):
            write_bytes(file, b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert file.read_bytes() == b"good"
    assert os.listdir(tmp_path) == ["a"]


def test_a_folder_in_the_way_is_one_line(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(RunError, match="could not be written"):
        write_text(tmp_path / "a", "x")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="the folder in which nobody may make one is Linux's /proc")
def test_folders_that_cannot_be_made_are_one_line():
    with pytest.raises(RunError, match=r"/proc/mien/a/c\.txt could not be written: .*Choose another place"):
        write_text("/proc/mien/a/c.txt", "x")


def test_another_files_trouble_is_not_blamed_on_this_one(tmp_path):
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "a"):
        (tmp_path / "elsewhere").read_text()


def test_a_file_is_kept_from_other_processes_until_it_is_closed(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    ask = "import sys; from mien.files import lock_file; print(lock_file(open(sys.argv[1], 'a+b')))"

    def other():
        return subprocess.run(
            [sys.executable, "-c", ask, tmp_path / "a"], capture_output=True, text=True
        ).stdout.strip()

    with (tmp_path / "a").open("a+b") as stream:
        assert lock_file(stream)
        assert other() == "False"
        stream.write(b"y")
    assert other() == "True"
    assert (tmp_path / "a").read_bytes() == b"xy"


def test_what_is_there_is_replaced_only_where_that_is_said(tmp_path):
    old, new = tmp_path / "old.txt", tmp_path / "new.txt"
    old.write_text("mine")
    check_replaceable([new], overwrite=False)
    check_replaceable([new, old], overwrite=True)
    with pytest.raises(RunError, match=r"old\.txt exists already.*--overwrite"):
        check_replaceable([new, old], overwrite=False)
