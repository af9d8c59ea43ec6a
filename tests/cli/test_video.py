"""``mien video``: real files in, real files out, and one line for everything that can be wrong."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mien.faces.find import find_detector
from support import FIELDS, ran, refused

pytest.importorskip("av")

NAMES = {"annotated.mp4", "faces.csv", "timeline.html"}


@pytest.fixture(scope="module")
def smiling(tmp_path_factory, encode_video, astronaut):
    """Twelve frames in which Eileen Collins moves, with sound."""
    frames = [np.roll(np.ascontiguousarray(astronaut[20:240, 110:350]), 2 * number, axis=1) for number in range(12)]
    return encode_video(tmp_path_factory.mktemp("clips") / "smile.mp4", frames, rate=15, sound="aac")


def rows_of(path):
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def test_video_writes_three_files(mien, tmp_path, smiling):
    answer = ran(mien("video", smiling, "--out", tmp_path / "out", "--model", "fast", "--output", "fer2013"))
    assert {file.name for file in (tmp_path / "out").iterdir()} == NAMES
    assert "YuNet: 1 face in 12 frames of 0.8 s" in answer.out
    assert answer.err == ""
    rows = rows_of(tmp_path / "out" / "faces.csv")
    place = ["frame", "time_seconds", "track", "box_left", "box_top", "box_width", "box_height", "detection_score"]
    assert list(rows[0])[:-7] == [*place, "output", *FIELDS]
    assert [int(row["frame"]) for row in rows] == list(range(12))
    assert [float(row["time_seconds"]) for row in rows] == pytest.approx([n / 15 for n in range(12)], abs=1e-5)
    for row in rows:
        assert (row["track"], row["top"]) == ("1", "happy")
        shares = {name: float(value) for name, value in list(row.items())[-7:]}
        assert float(row["confidence"]) == max(shares.values()) == shares["happy"]
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
    page = (tmp_path / "out" / "timeline.html").read_text(encoding="utf-8")
    assert "smile.mp4" in page
    assert "YuNet" in page


def test_video_json_sums_up_the_tracks(mien, tmp_path, smiling):
    answer = mien("video", smiling, "--out", tmp_path / "out", "--json", "--alarm", "happy:0.5", "--alarm", "sad:0.9")
    said = json.loads(answer.out)
    assert said["video"] == {"width": 240, "height": 220, "frames": 12, "seconds": pytest.approx(0.8)}
    assert (said["damaged_frames"], said["missing_seconds"], said["detector"]) == (0, 0, find_detector().name)
    (track,) = said["tracks"]
    assert (track["track"], track["frames"], track["answer"]) == (1, 12, "happy")
    assert track["frames_by_answer"]["happy"] == 12
    assert [(alarm["track"], alarm["class"]) for alarm in said["alarms"]] == [(1, "happy")]
    assert sum(track["probabilities"].values()) == pytest.approx(1)
    assert set(said["files"]) == {"annotated", "table", "timeline"}
    for path in said["files"].values():
        assert Path(path).stat().st_size > 0


def test_video_replaces_files_only_with_overwrite(mien, tmp_path, smiling):
    (tmp_path / "faces.csv").write_text("mine")
    refused(mien("video", smiling, "--out", tmp_path), "file-exists", "faces.csv", "--overwrite")
    assert ({file.name for file in tmp_path.iterdir()}, (tmp_path / "faces.csv").read_text()) == ({"faces.csv"}, "mine")
    (tmp_path / "annotated.mp4").write_text("of an earlier video")
    assert mien("video", smiling, "--out", tmp_path, "--overwrite", "--no-annotate").code == 0
    assert {file.name for file in tmp_path.iterdir()} == NAMES - {"annotated.mp4"}
    assert len(rows_of(tmp_path / "faces.csv")) == 12


def test_video_names_its_default_folder_after_the_file(mien, tmp_path, smiling, monkeypatch):
    """In the current folder, not beside the clip; what is there is kept as in any other."""
    monkeypatch.chdir(tmp_path)
    answer = ran(mien("video", smiling, "--no-annotate"))
    files = [str(Path("smile-mien") / name) for name in ("faces.csv", "timeline.html")]
    assert answer.out.splitlines()[-2:] == files
    assert sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "smile-mien").iterdir()) == files


@pytest.mark.parametrize("alarms", [["happy"], ["joy:0.7"], ["happy:7"], ["happy:much"], ["happy:0.5", "happy:0.9"]])
def test_video_rejects_malformed_alarms(mien, tmp_path, smiling, alarms):
    given = [word for alarm in alarms for word in ("--alarm", alarm)]
    refused(mien("video", smiling, "--out", tmp_path / "out", *given), "options", "CLASS:LIMIT", alarms[-1])
    assert not (tmp_path / "out").exists()


def test_video_never_replaces_its_input_and_hides_passwords(mien, tmp_path, smiling):
    clip = tmp_path / "annotated.mp4"
    clip.write_bytes(smiling.read_bytes())
    for options in ([], ["--overwrite"], ["--overwrite", "--no-annotate"]):
        refused(mien("video", clip, "--out", tmp_path, *options), "out-path", clip)
    assert clip.read_bytes() == smiling.read_bytes()
    answer = mien("video", "rtsp://ann:s3cret@127.0.0.1:9/front")
    refused(answer, "video-unreadable", "ann:***@127.0.0.1:9/front")
    assert "s3cret" not in answer.err


def test_video_names_the_missing_extra_before_it_starts(mien, tmp_path, smiling, monkeypatch):
    for package in ("av", "jinja2", "matplotlib"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            answer = mien("video", smiling, "--out", tmp_path / "out")
        refused(answer, "missing-extra", package, "pip install 'mien[video]'")
        assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_video_leaves_nothing_behind(tmp_path, encode_video, astronaut, number):
    clip = encode_video(tmp_path / "long.mp4", [np.ascontiguousarray(astronaut[20:240, 110:350])] * 600)
    out = tmp_path / "out"
    command_line = [sys.executable, "-m", "mien", "video", str(clip), "--out", str(out), "--detect-every", "0"]
    with subprocess.Popen(command_line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for _ in range(600):
            if out.is_dir() and any(file.suffix == ".part" for file in out.iterdir()):
                break
            time.sleep(0.05)
        process.send_signal(number)
        printed, err = process.communicate()
    assert (process.returncode, printed) == (130, "")
    assert "Traceback" not in err
    assert not out.exists()
