"""What a person sees of a training. Oracle: the history that training leaves."""

import io
import re
import signal
import sys
from dataclasses import dataclass

from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

from mien.api.train import train as train_and_export
from mien.base import processes
from mien.base.run_folder import RunFolder
from mien.data.synthetic import synthetic_faces
from mien.pipeline.training_view import HEADER, TrainProgress
from mien.training.loop import train
from mien.training.plan import plan_training
from training_support import Recorder, changed


def cells(history, epochs):
    """The first columns of each line, from the history."""
    best, lines = (-1.0, 0.0), []
    for line in history:
        value = line["validation_accuracy"], -line["validation_loss"]  # of equal epochs that of the least loss
        star, best = value > best, max(best, value)
        numbers = (
            f"{line['epoch']:.0f}/{epochs} {line['train_loss']:.4f} {line['train_accuracy']:.1%} "
            f"{line['validation_loss']:.4f} {line['validation_accuracy']:.1%} {line['validation_macro_f1']:.1%} "
            f"{line['learning_rate']:.2g}"
        )
        lines.append((numbers, star))
    return lines


def shown(text):
    """The same of what was printed: without seconds and time left, which a clock gives."""
    return [
        (" ".join(line.split()[:7]), line.endswith(" *")) for line in text.splitlines() if re.match(r" *\d+/\d+ ", line)
    ]


def test_progress_prints_a_line_per_epoch_with_a_star_for_the_best(tmp_path, faces, tiny_recipe, capsys):
    result = train_and_export(changed(tiny_recipe, epochs=4), faces, out=tmp_path / "run")
    printed = capsys.readouterr()
    assert shown(printed.err) == cells(result.history, 4)
    assert "\n".join(HEADER) in printed.err
    assert re.search(r" 4/4 .* 0:00( \*)?$", printed.err, re.MULTILINE), "nothing is left after the last epoch"
    assert printed.out == ""
    train_and_export(tiny_recipe, faces, out=tmp_path / "quiet", verbose=0)
    assert capsys.readouterr().err == ""


def test_progress_of_a_resumed_run_shows_its_own_epochs(tmp_path, faces, tiny_recipe, capsys):
    run, plan = RunFolder(tmp_path / "run"), plan_training(changed(tiny_recipe, epochs=3), faces)

    class Stops(Recorder):
        def should_stop(self):
            return len(self.epochs) == 2

    train(plan, run, callback=Stops())
    history = train(plan, run, resume=True, callback=TrainProgress()).history
    assert shown(capsys.readouterr().err) == cells(history, 3)[2:]


class Terminal(io.StringIO):
    """A terminal that keeps all that is written to it."""

    def isatty(self):
        return True


def test_progress_bar_ends_before_the_export(tmp_path, faces, tiny_recipe, monkeypatch):
    """Two live displays on one line would overwrite each other."""
    for name, value in {"TERM": "xterm", "COLUMNS": "100"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stderr", Terminal())
    train_and_export(tiny_recipe, faces, out=tmp_path / "run")
    written = sys.stderr.getvalue()
    assert "images/s" in written
    assert "exporting" in written
    assert written.rindex("loss ") < written.index("exporting")
    # Lines are written above the bar as they are elsewhere.
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written).replace("\r", "\n")
    assert shown("\n".join(line.rstrip() for line in plain.splitlines())) == cells(
        RunFolder(tmp_path / "run").read_history(), 2
    )


def test_ctrl_c_exits_with_130_and_keeps_the_model(mien, tmp_path, tiny_recipe_text, face_folder, monkeypatch):
    recipe_file = tmp_path / "tiny.toml"
    recipe_file.write_text(tiny_recipe_text)
    monkeypatch.setattr(TrainProgress, "on_epoch_end", lambda *_: signal.raise_signal(signal.SIGINT))
    answer = mien("train", recipe_file, "--data", face_folder, "--out", tmp_path / "run")
    assert answer.code == 130
    assert "--resume" in answer.err
    assert (tmp_path / "run" / "model.onnx").is_file()
    monkeypatch.setattr(TrainProgress, "on_step_end", lambda *_: signal.raise_signal(signal.SIGINT))
    assert mien("train", recipe_file, "--data", face_folder, "--out", tmp_path / "none").code == 130
    assert not (tmp_path / "none").exists()


def test_notebook_shows_one_growing_table(tmp_path, faces, tiny_recipe, monkeypatch, capsys):
    """Oracle: IPython's own publisher of what a cell displays."""

    @dataclass
    class Kernel:
        kernel: object = True

    shell = InteractiveShell.instance()
    monkeypatch.setattr(shell, "display_pub", CapturingDisplayPublisher())
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", Kernel)
    try:
        train(plan_training(tiny_recipe, faces), RunFolder(tmp_path / "run"), callback=TrainProgress())
        first, second = shell.display_pub.outputs
    finally:
        InteractiveShell.clear_instance()
    assert first["transient"]["display_id"] == second["transient"]["display_id"]
    assert second["update"]
    assert [each["data"]["text/html"].count("<tr") for each in (first, second)] == [2, 3]
    assert second["data"]["text/html"].count("<svg") == 2
    assert capsys.readouterr().err == ""
    assert not processes.is_quiet()


def test_fitted_head_shows_no_epochs(tmp_path, capsys):
    train_and_export("head", synthetic_faces(90, seed=2), out=tmp_path / "run")
    assert shown(capsys.readouterr().err) == []
