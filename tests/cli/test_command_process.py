"""Commands as processes: Ctrl-C, closed pipes, what is checked before torch is imported."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from PIL import Image

from children import CHILDREN, run_command
from mien.base.run_folder import RunFolder

WRONG = (
    (("train", "quick", "--data", "nowhere"), "nowhere"),
    (("train", "quick", "--data", ".", "--from", "nowhere"), "nowhere"),
    (("distill", "quick", "--data", ".", "--teachers", "nowhere"), "nowhere"),
    (("train", "quick", "--data", "faces.csv", "--clean", "nowhere"), "nowhere"),
    (("train", "quick", "--data", "faces.csv", "--map", "nowhere"), "nowhere"),
    (("train", "quick", "--data", "faces.csv", "--votes", "nowhere"), "nowhere"),
    (("train", "quick", "--data", "n" * 300), "nnnnn"),
    (("study", "study-b", "--data", "nowhere"), "nowhere"),
    (("sweep", "quick", "--data", "nowhere"), "nowhere"),
    (("sweep", "qwick", "--data", "faces.csv"), "'quick'"),
)
WITHOUT_TORCH = """
import json, sys
sys.modules["torch"] = None
from mien.cli.main import main
for words in json.loads(sys.argv[1]):
    sys.argv = ["mien", *words]
    try:
        main()
    except SystemExit as ended:
        sys.stderr.write(f"{ended.code}\\n")
"""


def test_commands_reject_a_wrong_path_before_torch_is_loaded(tmp_path):
    """Torch takes seconds to import: here an import of it ends the command in another way."""
    (tmp_path / "faces.csv").write_text("path,label\n")
    script = [sys.executable, "-c", WITHOUT_TORCH, json.dumps([words for words, _ in WRONG])]
    lines = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True).stderr.splitlines()
    assert lines[1::2] == ["2"] * len(WRONG)
    for line, (_, value) in zip(lines[::2], WRONG, strict=True):
        assert line.startswith("mien: ")
        assert value in line
    assert [file.name for file in tmp_path.iterdir()] == ["faces.csv"]


def test_ctrl_c_leaves_a_finished_run_and_resume_goes_on(mien, tmp_path, recipe_file, face_folder):
    """A real process, a real SIGINT; then another one to this process, which resumes."""
    run = RunFolder(tmp_path / "run")
    words = ["train", recipe_file, "--data", face_folder, "--out", run.path, "--set", "epochs=500"]
    child = CHILDREN.Process(target=run_command, args=words, kwargs={"said": tmp_path / "said"})
    child.start()
    while child.is_alive() and not (run.path / "history.csv").is_file():
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGINT)
    child.join()
    err = (tmp_path / "said.err").read_text()
    assert child.exitcode == 130, err
    assert ": interrupted." in err
    assert f"--out {run.path} --set epochs=500 --resume" in err
    assert run.model.is_file()
    epochs = len(run.read_history())
    assert 1 <= epochs < 500
    ended = threading.Event()

    def press_ctrl_c():
        while not ended.wait(0.05):
            if len(run.read_history()) >= epochs + 2:
                os.kill(os.getpid(), signal.SIGINT)
                return

    presses = threading.Thread(target=press_ctrl_c)
    presses.start()
    resumed = mien(*words, "--resume")
    ended.set()
    presses.join()
    assert resumed.code == 130, resumed.err
    assert epochs + 2 <= len(run.read_history()) < 500


def test_ctrl_c_while_the_command_is_imported_is_one_line(tmp_path):
    """Oracle: what a command that runs says. The interrupt comes as Python looks for typer."""
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = subprocess.run([sys.executable, "-m", "mien"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "mien: Stopped. [stopped]\n")


def test_json_is_valid_without_utf8(tmp_path, astronaut):
    """As on Windows, where a file takes the console's code page."""
    photo = tmp_path / "\N{GRINNING FACE}.png"
    Image.fromarray(astronaut).save(photo)
    command = [sys.executable, "-m", "mien", "predict", str(photo), "--json", "--model", "fast"]
    done = subprocess.run(command, env={**os.environ, "PYTHONIOENCODING": "cp1252"}, capture_output=True)
    assert json.loads(done.stdout.decode("cp1252"))[0]["source"] == str(photo)


def test_predict_ends_quietly_at_a_closed_pipe(face_folder, tiny_run):
    done = subprocess.run(
        f"{sys.executable} -m mien predict --model {tiny_run.path} --crops {face_folder} --csv | head -1", shell=True,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.startswith("source,answer,top,confidence")
    assert done.stderr == ""


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell closes the streams")
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_predict_works_without_a_console(tmp_path, astronaut, closed):
    """As in a service or a daemon. Oracle: the file that the command writes."""
    Image.fromarray(astronaut).save(tmp_path / "a.jpg")
    script = f"{sys.executable} -m mien predict a.jpg --model fast-int8 --annotate out --csv --quiet {closed}"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out" / "a.jpg").is_file()
    assert (done.stdout == "") == (closed != "2>&-")
