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
from PIL import Image

import mien
from mien.base.errors import DataError, RunError
from mien.base.files import cache_folder, lock_file, whole_file, write_bytes, write_text
from mien.base.run_folder import RunFolder
from mien.evaluation.robustness import read_robustness
from mien.pipeline.split_predictions import find_teachers
from support import raises


def test_whole_file_keeps_the_former_content_after_a_kill_or_an_error(tmp_path):
    write_text(tmp_path / "a", "before")
    code = "import os, sys; from mien.base.files import whole_file\nwith whole_file(sys.argv[1]) as t:\n"
    code += "    t.write_bytes(b'half'); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code, tmp_path / "a"], check=False).returncode == -9
    assert (tmp_path / "a").read_text() == "before"
    with whole_file(tmp_path / "a") as first:
        first.write_text("first")
        write_text(tmp_path / "a", "second")
    assert (tmp_path / "a").read_text() == "first"
    (tmp_path / "folder").mkdir()
    file = tmp_path / "folder" / "a"
    write_text(file, "good")
    with pytest.raises(ZeroDivisionError), whole_file(file) as temporary:
        temporary.write_text("half")
        1 / 0  # noqa: B018
    assert (file.read_text(), os.listdir(file.parent)) == ("good", ["a"])


def test_whole_file_follows_the_umask(tmp_path):
    former = os.umask(0o022)
    try:
        write_text(tmp_path / "a", "x")
        with whole_file(tmp_path / "b"):
            write_text(tmp_path / "b", "by another name")
            assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o644
    finally:
        os.umask(former)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644


def test_whole_file_keeps_the_former_content_on_a_full_disk(tmp_path):
    """A file-size limit makes the very write fail that a full disk would."""
    file = tmp_path / "a"
    write_bytes(file, b"good")
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, former[1]))
    try:
        for path in (file, tmp_path / "new"):
            with raises(RunError, "file-unwritable", os.strerror(errno.EFBIG), "space", "--resume") as caught:
                write_bytes(path, b"x" * 5000)
            assert "Errno" not in str(caught.value)
            assert ("former content is unchanged" in str(caught.value)) == (path == file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert (file.read_bytes(), os.listdir(tmp_path)) == (b"good", ["a"])


def test_write_bytes_rejects_unwritable_paths_and_long_names(tmp_path, monkeypatch):
    """A folder is in the way; nobody may make one in Linux's /proc."""
    (tmp_path / "a").mkdir()
    with raises(RunError, "file-unwritable", "another folder"):
        write_text(tmp_path / "a", "x")
    if Path("/proc").is_dir():
        with raises(RunError, "file-unwritable"):
            write_text("/proc/mien/a/c.txt", "x")
    write_bytes(tmp_path / ("n" * 255), b"x")
    with raises(RunError, "file-unwritable", "n" * 256):
        write_bytes(tmp_path / ("n" * 256), b"x")
    assert {file.name for file in tmp_path.iterdir()} == {"a", "n" * 255}
    # A shell leaves ~ where it stands after =. Oracle: the home of the process.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with raises(RunError, "out-path", str(tmp_path / "home" / "a.txt")):
        write_text("~/a.txt", "x")
    assert not (tmp_path / "~").exists()


def test_lock_file_excludes_other_processes(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    ask = "import sys; from mien.base.files import lock_file; print(lock_file(open(sys.argv[1], 'a+b')))"

    def other():
        return subprocess.run([sys.executable, "-c", ask, tmp_path / "a"], capture_output=True).stdout.decode().strip()

    with (tmp_path / "a").open("a+b") as stream:
        assert lock_file(stream)
        assert other() == "False"
        stream.write(b"y")
    assert (other(), (tmp_path / "a").read_bytes()) == ("True", b"xy")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows removes no open file")
@pytest.mark.parametrize("made_again", [False, True])
def test_a_file_that_was_removed_since_it_was_opened_is_not_locked(tmp_path, made_again):
    with (tmp_path / "a").open("a+b") as stream:
        (tmp_path / "a").unlink()
        if made_again:
            (tmp_path / "a").touch()
        assert not lock_file(stream)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such call")
def test_whole_file_syncs_the_folder_after_the_rename(tmp_path, monkeypatch):
    """Oracle: the calls to the system in their order: without the last one a power cut can undo the rename."""
    calls = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append(stat.S_ISDIR(os.fstat(fd).st_mode)), fsync(fd)))
    monkeypatch.setattr(Path, "replace", lambda self, to: (calls.append("renamed"), replace(self, to)))
    write_bytes(tmp_path / "a", b"x")
    assert calls == [False, "renamed", True]


def test_cache_folder_takes_no_file_without_a_home(monkeypatch, face_folder):
    """As of `docker run --user` without HOME. Oracle: the same data set and prediction."""

    def fail(*others, **named):
        raise RuntimeError("could not determine the home directory")

    expected = mien.load_dataset(face_folder).fingerprint
    monkeypatch.delenv("MIEN_CACHE", raising=False)
    monkeypatch.setattr("mien.base.files.user_cache_dir", fail)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mien.MienWarning)
        assert mien.load_dataset(face_folder).fingerprint == expected
    assert len(mien.load("fast-int8").predict(np.zeros((480, 480, 3), dtype=np.uint8))) == 0


def test_home_is_expanded_in_options_the_cache_and_python(tmp_path, monkeypatch, faces):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MIEN_CACHE", "~/c")
    assert (cache_folder("faces"), RunFolder(Path("~/run")).path) == (tmp_path / "c" / "faces", tmp_path / "run")
    (tmp_path / "r.toml").write_text('[model]\nfile = "net.py"\nname = "Net"\n')
    assert mien.load_recipe("~/r.toml").model.file == str(tmp_path / "net.py")
    for code, opened in (
        ("data-missing", mien.load_dataset),
        ("teacher", find_teachers),
        ("predictions-missing", lambda name: mien.check(name, faces, "validation")),
        ("file-missing", read_robustness),
        ("file-unreadable", lambda name: mien.crop(name, tmp_path / "faces")),
        ("file-unreadable", lambda name: mien.merge_votes(tmp_path, name)),
    ):
        with raises(DataError, code, tmp_path / "gone.npz"):
            opened("~/gone.npz")
    with raises(RunError, "file-missing"):
        mien.load_dataset("")
    pytest.importorskip("torch", reason="mien[train] is not installed")
    with raises(RunError, "out-path", tmp_path / "run"):
        mien.train("demo", "~/", out=tmp_path / "run")
    with raises(DataError, "predictions-missing", tmp_path):
        mien.compare("~/", "~/")
    for opened in (mien.load_dataset, mien.load):
        with pytest.raises(mien.MienError, match="~no-such/a"):
            opened("~no-such/a")
    Image.new("L", (48, 48)).save(tmp_path / "a.png")
    (tmp_path / "r.toml").write_text("epochs = 3")
    assert (len(mien.load("fast").predict_crops("~/a.png")), mien.load_recipe("~/r.toml").epochs) == (1, 3)
    words = ["mien", "--out=~/e", "~", "a~b", "--set", "model.weights=~/w", "x=~y"]
    script = "import sys, mien.cli.main as m; m.app = lambda **_: print(sys.argv); m.main()"
    done = subprocess.run([sys.executable, "-c", script, *words[1:]], capture_output=True, text=True, check=True)
    home = str(tmp_path)
    assert done.stdout == str(["-c", f"--out={home}/e", home, "a~b", "--set", f"model.weights={home}/w", "x=~y"]) + "\n"
