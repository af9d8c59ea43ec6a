"""mien predict --out, broken off and resumed: the journal, its settings, what is left behind."""

import os
import signal
import subprocess
import sys
import time

import pytest

from support import refused


def test_predict_stops_at_a_bad_image_and_resumes(mien, photos, tiny_run, tmp_path):
    """Oracle: the answers without a stop."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in photos.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "bb.jpg").write_bytes(b"damaged")
    command = ("predict", "--model", tiny_run.path, folder, "--out", tmp_path / "out.jsonl")
    refused(mien(*command), "image-format", "bb.jpg")
    assert not (tmp_path / "out.jsonl").exists()
    again = mien(*command, "--skip-bad")
    assert again.code == 0
    assert again.err.startswith("2 of 4 images ")
    assert again.err.splitlines()[1].startswith("skipped: ")
    (whole := tmp_path / "whole").mkdir()
    mien("predict", "--model", tiny_run.path, folder, "--skip-bad", "--out", whole / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_bytes() == (whole / "out.jsonl").read_bytes()


def test_predict_rejects_resuming_with_other_settings(mien, photos, tiny_run, tmp_path):
    (tmp_path / "z.jpg").write_bytes(b"damaged")
    command = ("predict", "--model", tiny_run.path, "--out", tmp_path / "out.csv", photos / "c.jpg")
    assert mien(*command, tmp_path / "z.jpg").code == 2
    before = (tmp_path / "out.csv.part").read_bytes()
    for other, said in (
        ((tmp_path / "z.jpg", "--model", "default"), "model sha256:"),
        ((tmp_path / "z.jpg", "--classes", "binary"), "binary"),
        ((tmp_path / "z.jpg", "--crops"), "YuNet"),
    ):
        refused(mien(*command, *other), "journal", said)
    refused(mien(*command[:-1], photos / "a.png"), "journal", photos / "c.jpg")
    assert (tmp_path / "out.csv.part").read_bytes() == before
    assert mien(*command, photos / "a.png").err.startswith("1 of 2 images ")
    assert all(str(photos / name) in (tmp_path / "out.csv").read_text() for name in ("a.png", "c.jpg"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_predict_resumes_after_a_kill(mien, photos, tiny_run, tmp_path):
    """Killed for real once some are done; then as if nothing had been. Oracle: the answers without a kill."""
    folder = tmp_path / "many"
    folder.mkdir()
    for index in range(40):
        (folder / f"{index:03}.jpg").write_bytes((photos / "c.jpg").read_bytes())
    out, part = tmp_path / "out.csv", tmp_path / "out.csv.part"
    arguments = ["predict", "--model", str(tiny_run.path), str(folder), "--annotate", str(tmp_path / "drawn")]
    code = "from mien.cli.main import main; main()"
    killed = subprocess.Popen([sys.executable, "-c", code, *arguments, "--out", str(out)], stderr=subprocess.DEVNULL)
    while killed.poll() is None and (not part.exists() or part.read_bytes().count(b"\n") < 4):
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not out.exists()
    done = part.read_bytes().count(b"\n") - 1
    answer = mien(*arguments, "--out", out)
    resumed, annotated = answer.err.splitlines()
    assert resumed.startswith(f"{done} of 40 images ")
    assert annotated.endswith(f": {tmp_path / 'drawn'}")
    assert answer.out.endswith(f"; {done} done before\n")
    assert out.read_text() == mien("predict", "--model", tiny_run.path, folder, "--csv").out
    assert len(list((tmp_path / "drawn").glob("*.jpg"))) == 40
