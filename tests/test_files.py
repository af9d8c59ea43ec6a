import errno
import os
import resource
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import mien
from mien.errors import RunError
from mien.files import check_replaceable, file_sha256, lock_file, never_made, whole_file, write_bytes, write_text
from support import raises


def test_writes_and_replaces(tmp_path):
    file = tmp_path / "new" / "newer" / "a.txt"
    write_text(file, "one")
    write_text(file, "zwei ä")
    assert file.read_text(encoding="utf-8") == "zwei ä"
    assert os.listdir(file.parent) == ["a.txt"]


def test_a_folder_that_may_not_be_made_again_is_gone_for_good(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    with never_made(folder):
        write_text(folder / "a", "one")
        folder.rename(tmp_path / "moved")
        with raises(RunError, "run-gone"):
            write_text(folder / "b", "two")
        assert os.listdir(tmp_path) == ["moved"]
    write_text(folder / "b", "two")
    assert os.listdir(folder) == ["b"]


def test_a_name_that_the_file_system_refuses_is_said_as_it_was_given(tmp_path):
    path = tmp_path / ("n" * 252)
    with raises(RunError, "file-unwritable"):
        write_bytes(path, b"x")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="names are random there")
def test_what_a_killed_writer_left_is_taken_over_and_what_is_being_written_is_not(tmp_path):
    """Oracle: a child killed inside its block leaves a file that the next write removes; two open blocks have two."""
    code = "import os, sys; from mien.files import whole_file\nwith whole_file(sys.argv[1]) as t:\n"
    code += "    t.write_bytes(b'long ago'); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code, tmp_path / "a"], check=False).returncode == -9
    (left,) = tmp_path.iterdir()
    assert left.read_bytes() == b"long ago"
    with whole_file(tmp_path / "a") as first:
        assert first == left
        assert first.read_bytes() == b""
        first.write_text("first")
        with whole_file(tmp_path / "a") as second:
            assert second != first
            second.write_text("second")
        assert (tmp_path / "a").read_text() == "second"
    assert (tmp_path / "a").read_text() == "first"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK])
def test_a_file_system_without_locks_keeps_no_litter(tmp_path, monkeypatch, number):
    """Oracle: what Lustre without ``-o flock`` and NFS without its lock daemon answer."""
    fcntl = pytest.importorskip("fcntl")

    def refuse(descriptor, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    write_text(tmp_path / "a.txt", "whole")
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "whole"


def test_a_written_file_is_readable_by_others_as_the_umask_says(tmp_path):
    former = os.umask(0o022)
    try:
        write_text(tmp_path / "a", "x")
        with whole_file(tmp_path / "b"):
            write_text(tmp_path / "b", "by another name")
            assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o644
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
        with raises(RunError, "file-unwritable", os.strerror(errno.EFBIG), "space") as caught:
            write_bytes(file, b"x" * 5000)
        assert "Errno" not in str(caught.value)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert file.read_bytes() == b"good"
    assert os.listdir(tmp_path) == ["a"]


def test_a_folder_in_the_way_is_one_line(tmp_path):
    (tmp_path / "a").mkdir()
    with raises(RunError, "file-unwritable", "another folder"):
        write_text(tmp_path / "a", "x")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="the folder in which nobody may make one is Linux's /proc")
def test_folders_that_cannot_be_made_are_one_line():
    with raises(RunError, "file-unwritable"):
        write_text("/proc/mien/a/c.txt", "x")


@pytest.mark.parametrize("name", ["elsewhere", ".a.lock", "b.part", "b/.a.part"])
def test_another_files_trouble_is_not_blamed_on_this_one(tmp_path, name):
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "a"):
        (tmp_path / name).read_text()


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
    with raises(RunError, "file-exists"):
        check_replaceable([new, old], overwrite=False)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such call")
def test_a_rename_is_followed_by_an_fsync_of_its_folder(tmp_path, monkeypatch):
    """Oracle: the calls to the system in their order: without the last one a power cut can undo the rename."""
    calls = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append(stat.S_ISDIR(os.fstat(fd).st_mode)), fsync(fd)))
    monkeypatch.setattr(Path, "replace", lambda self, to: (calls.append("renamed"), replace(self, to)))
    write_bytes(tmp_path / "a", b"x")
    assert calls == [False, "renamed", True]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such call")
def test_a_file_system_without_an_fsync_of_folders_will_do_and_a_damaged_disk_will_not(tmp_path, monkeypatch):
    """A stand-in for the disk: some network file systems answer EINVAL."""
    fsync, answer = os.fsync, [errno.EINVAL]

    def refuse_folders(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(answer[0], os.strerror(answer[0]))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    write_bytes(tmp_path / "a", b"x")
    answer[0] = errno.EIO
    with raises(RunError, "file-unwritable"):
        write_bytes(tmp_path / "a", b"y")


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="Linux lists the open files of a process there")
def test_no_file_stays_open(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with whole_file(tmp_path / "a"):
            write_bytes(tmp_path / "a", b"x")
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(sys.platform == "win32", reason="names are random there")
@pytest.mark.parametrize("there", [True, False])
def test_a_link_where_the_temporary_file_would_be_is_not_followed(tmp_path, there):
    if there:
        (tmp_path / "mine").write_text("mine")
    (tmp_path / ".a.part").symlink_to(tmp_path / "mine")
    write_text(tmp_path / "a", "x")
    assert (tmp_path / "a").read_text() == "x"
    assert (tmp_path / "mine").exists() == there
    assert not there or (tmp_path / "mine").read_text() == "mine"


@pytest.mark.skipif(sys.platform == "win32", reason="names are random there")
def test_another_users_temporary_file_is_left_alone(tmp_path, monkeypatch):
    """A stand-in for the system, since root may open any file."""
    (tmp_path / ".a.part").write_text("theirs")
    opened = os.open

    def refuse(path, *arguments, **named):
        if str(path).endswith("/.a.part"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, *arguments, **named)

    monkeypatch.setattr(os, "open", refuse)
    write_text(tmp_path / "a", "x")
    assert (tmp_path / ".a.part").read_text() == "theirs"
    assert (tmp_path / "a").read_text() == "x"


def test_a_folder_in_which_nothing_can_be_made_is_one_line(tmp_path, monkeypatch):
    """A stand-in for a disk that is mounted read-only."""

    def refuse(path, *arguments, **named):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(os, "open", refuse)
    with raises(RunError, "file-unwritable", os.strerror(errno.EROFS)):
        write_bytes(tmp_path / "a", b"x")


def test_what_another_process_has_opened_and_not_written_yet_stays_its_own(tmp_path):
    with whole_file(tmp_path / "a") as first:
        write_text(tmp_path / "a", "second")
        assert first.exists()


def test_without_locks_what_another_process_writes_stays_its_own(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    (tmp_path / ".a.part").write_text("theirs")
    monkeypatch.setattr(fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOLCK, "no locks")))
    write_text(tmp_path / "a", "x")
    assert (tmp_path / ".a.part").read_text() == "theirs"
    with (tmp_path / "a").open("r+b") as stream:
        assert lock_file(stream)


def test_the_sha256_of_a_file(tmp_path):
    """Oracle: the digest of "abc" in FIPS 180-2."""
    (tmp_path / "a").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_user_without_name_and_home_has_no_cache(monkeypatch, tiny_run, face_folder):
    """As of `docker run --user` without HOME. Oracle: the same data set and prediction."""

    def fail(*others, **named):
        raise RuntimeError("could not determine the home directory")

    expected = mien.load_dataset(face_folder).fingerprint
    monkeypatch.delenv("MIEN_CACHE", raising=False)
    monkeypatch.setattr("mien.files.user_cache_dir", fail)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mien.MienWarning)
        assert mien.load_dataset(face_folder).fingerprint == expected
    assert len(mien.load("fast-int8").predict(np.zeros((60, 60, 3), dtype=np.uint8))) == 0
