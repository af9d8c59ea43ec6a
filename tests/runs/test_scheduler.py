"""Oracles: mien train's own code, the study's own lists, and what lies on disk after a run, a kill and a second run."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from shutil import copytree
from types import SimpleNamespace

import numpy as np
import pytest

from children import CHILDREN, run_study
from mien.base import run_folder
from mien.base.errors import DataError, ModelError, RecipeError, StudyError
from mien.base.model_file import read_manifest
from mien.base.run_folder import RunFolder
from mien.data.parquet import write_parquet
from mien.evaluation.named_metrics import METRICS
from mien.pipeline.training_run import run_recipe
from mien.runs import page, scheduler
from mien.runs.page import StudyProgress
from mien.runs.plan import folder_of, pending, read_completed, read_run
from mien.runs.scheduler import RunJob, StudyContext, answer, make_plan, read_answer, run_all
from mien.runs.spec import load_study, parse_study
from mien.training import state
from mien.training.plan import plan_training
from mien.training.state import check_network
from support import raises


def test_a_run_of_a_study_equals_mien_train(done, faces, tmp_path):
    alone = RunFolder(tmp_path / "alone")
    run_recipe(plan_training(done.runs[0].recipe, faces), alone)
    kept, direct = done.finished[done.runs[0].key], np.load(alone.predictions("validation"))["probabilities"]
    np.testing.assert_allclose(kept.predictions().probabilities, direct, atol=1e-7)
    assert kept.record.threads == 1
    assert kept.record.seconds == pytest.approx(RunFolder(kept.folder).read_history()[-1]["seconds"])


def test_a_record_names_the_epoch_of_the_model(done, faces, tmp_path, monkeypatch):
    """Oracle: the exported model. In history.csv all epochs are alike, as where metrics differ after seven digits."""
    csv = run_folder.history_to_csv([dict.fromkeys(run_folder.HISTORY_COLUMNS, 1.0)] * 3)
    monkeypatch.setattr(state, "history_to_csv", lambda history: csv)
    run = make_plan(done.study, done.context.faces_by_form, ["epochs=3", "stopping.metric=loss"])[0]
    job = replace(done.context, out=tmp_path, results=tmp_path / "kept").job(run)
    assert job.train(faces, lambda epoch: None, lambda: False)
    assert 1 < read_run(Path(job.results)).record.best_epoch == read_manifest(folder_of(run, tmp_path).model).epoch


def test_a_study_stores_a_diverged_run_as_failed_and_continues(done):
    wild = done.finished[done.runs[2].key]
    assert "The loss is" in wild.record.failed
    assert "another folder" not in wild.record.failed  # advice to whoever runs it alone
    assert not (wild.folder / "predictions_validation.npz").exists()
    assert ("base", 1, "ended") in done.told.lines[done.told.lines.index(("wild", 0, "failed")) :]
    names = {file.name for each in done.finished.values() for file in each.folder.iterdir()}
    assert names == {"run.json", "recipe.toml", "history.csv", "predictions_validation.npz"}
    lost = next(run for run in done.runs if run.variant == "lost")
    assert done.finished[lost.key].record.failed.startswith("It starts from wild, seed 0, ")
    without = {key: each for key, each in done.finished.items() if key != lost.key}
    assert pending(done.runs, without, done.context.out) == [lost]


def test_progress_without_a_terminal_has_a_line_in_ten_seconds(done, monkeypatch, capsys):
    """Oracle: a clock set by hand."""
    clock = SimpleNamespace(now=0)
    monkeypatch.setattr(page, "time", SimpleNamespace(monotonic=lambda: clock.now))
    shown = StudyProgress(METRICS["accuracy"])
    for seconds in (1, 59, 60, 61, 119, 120):
        clock.now = seconds
        shown.on_epochs(done.runs[0], 0)
    assert capsys.readouterr().err.splitlines() == ["base, seed 0: epoch 0/1"] * 2


def test_a_run_repeated_for_its_weights_keeps_its_results(done, faces, tmp_path, told):
    base, five = done.runs[0], done.runs[1]
    kept = done.finished[base.key]
    before = (kept.folder / "run.json").read_bytes()
    context = StudyContext({(48, 1): faces}, tmp_path, tmp_path / "copy", {})
    copytree(kept.folder, context.results / kept.folder.name)
    known = read_completed(context.results)
    assert pending(make_plan(done.study.restricted(["merged"]), context.faces_by_form), known, tmp_path) == [base, five]
    assert run_all([base, five], known, context, told)
    assert (context.results / kept.folder.name / "run.json").read_bytes() == before
    assert set(read_completed(context.results)) == {base.key, five.key}
    oracle = done.finished[five.key].predictions().probabilities
    np.testing.assert_array_equal(read_completed(context.results)[five.key].predictions().probabilities, oracle)


def test_runs_in_processes_equal_runs_in_this_one_and_are_not_repeated(done, faces, tmp_path, told):
    """Two processes at once are in test_a_stopped_study_resumes."""
    context = StudyContext({(48, 1): faces}, tmp_path, tmp_path / "results", {})
    base, five = pair = done.runs[:2]
    assert run_all(pair, {}, context, told, jobs=2)
    found = read_completed(context.results)
    assert set(found) == {base.key, five.key}
    for key, each in found.items():
        np.testing.assert_array_equal(each.predictions().probabilities, done.finished[key].predictions().probabilities)
    assert pending(pair, found, tmp_path) == []
    assert run_all([], found, context, told, engine="ray"), "nothing starts for nothing"
    ends = [line for line in told.lines if line[2] == "ended"]
    assert ends.index(("base", 0, "ended")) < ends.index(("five", 0, "ended"))


def test_a_process_answers_with_its_error():
    job, message = RunJob({}, "key", "v", "sha256:", "", "run", "results", "", {}), "There is no file; give --set."

    def refuse(*_):
        raise DataError(message, code="data-missing")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(scheduler, "read_entry", lambda folder: (None, {}))
        patched.setattr(RunJob, "train", refuse)
        patched.setattr(scheduler, "set_quiet", lambda quiet: None)
        text = answer(json.dumps({**vars(job), "dataset": "data", "threads": 1}))
    with raises(DataError, "data-missing") as caught:
        read_answer(text)
    assert caught.value.message == message


# A study of one process waits after each epoch. Those of several do not: they have epochs enough for both to begin.
EPOCHS = {1: 4, 2: 400}


def _start(tmp_path, study, jobs, context=CHILDREN):
    process = context.Process(target=run_study, args=(study, tmp_path / "out", jobs, EPOCHS[jobs]))
    process.start()
    while len(list(tmp_path.glob("out/runs/*/last.safetensors"))) < jobs:
        assert process.is_alive(), "the study ended before it could be stopped"
        time.sleep(0.05)
    return process


def _said(tmp_path, process):
    """What it wrote on stdout and stderr."""
    process.join()
    return [(tmp_path / f"out{suffix}").read_text().strip() for suffix in (".out", ".err")]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_stopped_study_resumes(tiny_study_file, faces, tmp_path, told, jobs):
    out, process = tmp_path / "out", _start(tmp_path, tiny_study_file, jobs)
    os.killpg(process.pid, signal.SIGINT)
    assert (_said(tmp_path, process), read_completed(out / "results")) == (["False", ""], {})
    context = StudyContext({(48, 1): faces}, out, out / "results", {})
    plan = make_plan(load_study(str(tiny_study_file)), context.faces_by_form, [f"epochs={EPOCHS[jobs]}"])
    begun = [run for run in plan if folder_of(run, out).last.is_file()]
    before, *_ = epochs = [len(folder_of(run, out).read_history()) for run in begun]
    assert len(epochs) == jobs
    assert all(1 <= each < EPOCHS[jobs] for each in epochs)
    assert not any(folder_of(run, out).model.exists() for run in plan), "what is stopped needs no export yet"
    if jobs > 1:  # its runs are long
        return
    assert run_all(begun[:1], {}, context, told)
    assert told.lines[1][2] > before
    whole = tmp_path / "whole"
    assert run_all(begun[:1], {}, StudyContext({(48, 1): faces}, whole, whole / "results", {}), told)
    resumed, straight = (read_completed(each / "results")[begun[0].key].predictions() for each in (out, whole))
    np.testing.assert_array_equal(resumed.probabilities, straight.probabilities)


def test_a_killed_process_is_one_line(tiny_study_file, tmp_path, capfd):
    # A Python of its own: a forked process says nothing while it imports and as it exits.
    process = _start(tmp_path, tiny_study_file, 2, get_context("spawn"))
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    workers = [int(each) for each in children if "mien.runs.scheduler" in Path(f"/proc/{each}/cmdline").read_text()]
    assert len(workers) == 2
    for each in workers:
        os.kill(each, signal.SIGKILL)
    printed, complaint = _said(tmp_path, process)
    assert (complaint, capfd.readouterr().err) == ("", "")
    assert printed.startswith("StudyError study-process-killed: ")
    assert "fewer --jobs" in printed


def _workers_at(run_folder):
    """Processes of Ray that train in this folder: they hold its lock open."""
    found = []
    for each in Path("/proc").iterdir():
        try:
            if each.name.isdigit() and b"ray::" in (each / "cmdline").read_bytes():
                files = {str(link.readlink()) for link in (each / "fd").iterdir()}
                found += [int(each.name)] if any(file.startswith(str(run_folder)) for file in files) else []
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_a_study_on_ray_equals_one_without_and_survives_a_killed_worker(tmp_path, faces, tiny_recipe_text, mien):
    pytest.importorskip("ray", reason="mien[scale] is not installed")
    write_parquet(faces, tmp_path / "faces.parquet")
    (tmp_path / "tiny.toml").write_text(tiny_recipe_text.replace("epochs = 2", "epochs = 12"))
    (tmp_path / "two.toml").write_text(
        f'name = "two"\ntitle = "Two"\nquestion = "Which?"\nrecipe = "{tmp_path / "tiny.toml"}"\n'
        '[[variants]]\nname = "fast"\n[[variants]]\nname = "slow"\nset = { "optim.lr" = 0.001 }\n'
    )
    words = ["study", str(tmp_path / "two.toml"), "--data", str(tmp_path / "faces.parquet")]
    process = subprocess.Popen(
        [sys.executable, "-m", "mien", *words, "--engine", "ray", "--jobs", "1", "--out", str(tmp_path / "ray")],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )
    try:
        until, killed = time.monotonic() + 300, False
        while process.poll() is None:
            assert time.monotonic() < until
            for history in (tmp_path / "ray" / "runs").glob("*/history.csv") if not killed else ():
                for worker in _workers_at(history.parent):
                    os.kill(worker, signal.SIGKILL)
                    killed = True
            time.sleep(0.05)
        assert process.returncode == 0
        assert killed
    finally:
        process.kill()
        process.wait()
    assert mien(*words, "--out", tmp_path / "plain").code == 0
    rows = [json.loads((tmp_path / name / "study.json").read_text())["variants"] for name in ("ray", "plain")]
    for own, other in zip(*rows, strict=True):
        assert own["metrics"] == other["metrics"]
    # Finished runs are found again: without Ray, and at once.
    again = mien(*words, "--out", tmp_path / "ray", "--dry-run", "--json")
    assert (again.code, json.loads(again.out)["to_do"]) == (0, [])


def test_a_key_depends_on_recipe_seed_data_parent_and_initial_weights(done, faces):
    run = done.runs[1]

    def changed(**fields):
        return replace(run, **fields)

    others = [
        changed(recipe=run.recipe.model_copy(update={"seed": 7})),
        changed(data_fingerprint="sha256:other"),
        changed(parent=None),
        changed(parent=None, start_digest="sha256:file"),
        changed(targets_fingerprint="sha256:votes"),
    ]
    assert len({run.key, *(each.key for each in others)}) == 6
    renamed = run.recipe.model_copy(update={"name": "another", "description": "words"})
    assert changed(variant="another", recipe=renamed).key == run.key
    planned = [(run.variant, run.recipe.seed) for run in done.runs]
    assert planned == [("base", 0), ("five", 0), ("wild", 0), ("lost", 0), ("base", 1)]
    assert done.runs[1].parent is done.runs[0]
    assert (len({run.key for run in done.runs}), done.runs[0].train_faces) == (5, (faces.split == "train").sum())
    assert done.runs[1].classes == ("angry", "fear", "happy", "sad", "surprise")


def test_a_key_does_not_depend_on_the_test_split(tiny_study_file, faces):
    study = parse_study(tiny_study_file.read_text(), "small", tiny_study_file.parent)
    faces = replace(faces, rows=faces.rows + 1000)
    without = faces.subset(np.flatnonzero(faces.split != "test"))
    plans = [make_plan(study, {(48, 1): each}) for each in (faces, without, without.subset(np.arange(1, len(without))))]
    keys = [{run.key for run in runs} for runs in plans]
    assert keys[0] == keys[1]
    assert not keys[0] & keys[2]


def test_a_key_depends_on_votes_where_an_output_learns_them(tmp_path, voted_faces, tiny_recipe_text):
    outputs = '[outputs.label]\ntarget = "label"\n[outputs.seen]\ntarget = "votes"\n'
    (tmp_path / "one.toml").write_text(tiny_recipe_text)
    (tmp_path / "two.toml").write_text(tiny_recipe_text + outputs)
    text = 'name = "v"\ntitle = "V"\nquestion = "?"\nrecipe = "one.toml"\nseeds = [0]\n' + "".join(
        f'[[variants]]\nname = "{name}"\ntitle = "{name}"\nrecipe = "{name}.toml"\n' for name in ("one", "two")
    )
    study = parse_study(text, "v", tmp_path)
    voters = (voted_faces, replace(voted_faces, votes=voted_faces.votes + 1))
    plans = [make_plan(study, {(48, 1): each}) for each in voters]
    assert [one.key == other.key for one, other in zip(*plans, strict=True)] == [True, False]


def test_a_plan_notes_what_a_variant_changes_beside_its_own_optimizer(tmp_path, faces):
    """Oracle: what the second variant sets; what ``small`` sets is no change."""
    (tmp_path / "parts.py").write_text("import torch\ndef sgd(given, lr):\n    return torch.optim.SGD(given, lr)")
    variants = "".join(
        f'[[variants]]\nname = "{name}"\nset = {{ optim.file = "parts.py", optim.name = "sgd"{others} }}\n'
        for name, others in (("a", ""), ("b", ", optim.lr = 0.3, optim.momentum = 0.5"))
    )
    study = parse_study(f'name = "s"\ntitle = "S"\nrecipe = "small"\n{variants}', "s", tmp_path)
    _few_of_a, own, _few_of_b = scheduler.notices_of(make_plan(study, {(48, 1): faces}))
    assert own == "b: your own optimizer ignores optim.momentum."


def test_a_recipe_file_may_need_what_each_variant_sets(tmp_path, faces, tiny_recipe_text):
    (tmp_path / "mp.toml").write_text(f"{tiny_recipe_text}mixup_probability = 0.5\n")
    text = 'name = "s"\ntitle = "S"\nrecipe = "mp.toml"\n'
    text += "".join(
        f'[[variants]]\nname = "{name}"\nset = {{ "augment.mixup" = {alpha} }}\n'
        for name, alpha in (("a", 0.2), ("b", 0.4))
    )
    plan = make_plan(parse_study(text, "s", tmp_path), {(48, 1): faces})
    assert [run.recipe.augment.mixup_probability for run in plan] == [0.5] * len(plan)


@pytest.mark.parametrize(("old", "new", "changes", "kind", "code", "found"), [
    ("optim.lr = 1e30", 'model.name = "resnet81"', [], RecipeError, "model-unknown", "resnet18"),
    ("optim.lr = 1e30", "model.widths = [4, 4, 4, 4], model.convolutions = [1, 1, 1, 1], "
     "progressive_resizing = [[0.5, 8]]", [], RecipeError, "model-setting", "8 px"),
    ('classes = "five"', 'classes = "a=happy,b=contempt"', [], DataError, "label-scheme",
     "'contempt'"),
    ("optim.lr = 1e30", "optim.lr = 0.3", ["optim.lr=0.01", "optim.name=sgd"], StudyError, "study-value",
     "'base' and 'wild'"),
    ('set = { optim.lr = 1e30, optim.name = "sgd" }', 'recipe = "head"', [], RecipeError, "fit-head", "'wild'"),
    ('set = { optim.lr = 1e30, optim.name = "sgd" }', "set = { model.stem_stride = 2, model.dropout = 0.1 }", [],
     StudyError, "study-value", "'base' and 'wild'"),
    ("", "", ["fife:epochs=2"], StudyError, "study-value", "'five'"),
    ("", "", ["five:seed=2"], StudyError, "study-value", "'seed'"),
    ("", "", ["merged:epochs=2"], StudyError, "study-value", "'merged'"),
    ("", "", ["five:input.mean=0.4"], RecipeError, "recipe-value", ""),
])  # fmt: skip
def test_a_plan_rejects_runs_that_cannot_be_trained(
    tiny_study_file, faces, tmp_path, monkeypatch, old, new, changes, kind, code, found
):
    monkeypatch.chdir(tmp_path)
    text = tiny_study_file.read_text()
    assert old in text
    with raises(kind, code, found):
        make_plan(parse_study(text.replace(old, new, 1), "small", tiny_study_file.parent), {(48, 1): faces}, changes)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("old", "new", "code", "found"), [
    ("recall.disgust", "recall.disgut", "study-value", "'disgust'"),
    ('baseline = "base"\nclasses = "binary"', 'baseline = "base"', "study-value", "three"),
])  # fmt: skip
def test_a_study_rejects_classes_that_its_variants_lack(tiny_study_file, faces, old, new, code, found):
    whole = parse_study(tiny_study_file.read_text().replace(old, new, 1), "small", tiny_study_file.parent)
    with raises(StudyError, code, found):
        whole.check_classes(faces.classes, (), whole.comparisons)


def test_pending_runs_are_unfinished_ones_and_parents_without_weights(done, tmp_path):
    def wanted(finished, out, *only):
        runs = make_plan(done.study.restricted(only), done.context.faces_by_form)
        return [(run.variant, run.recipe.seed) for run in pending(runs, finished, out)]

    def without(*variants):
        return {each.key: done.finished[each.key] for each in done.runs if each.variant not in variants}

    out = done.context.out
    assert (wanted(done.finished, out), wanted(without("five"), out)) == ([], [("five", 0)])
    # Where the parent's weights are not at hand (its results came from elsewhere), it is trained again first.
    assert wanted(without("five"), tmp_path) == [("base", 0), ("five", 0)]
    # Weights of a parent that is not finished are no beginning.
    assert wanted(without("base", "five"), out, "five") == [("base", 0), ("five", 0)]
    assert wanted({}, tmp_path, "wild") == [("wild", 0)]
    # To run a merged variant, its trained one is run.
    assert wanted({}, tmp_path, "merged") == [("base", 0), ("five", 0)]


def test_a_stopped_run_gives_no_initial_weights(done, tmp_path):
    base = folder_of(done.runs[0], tmp_path)
    base.path.mkdir(parents=True)
    for name in ("best.safetensors", "history.csv"):
        (base.path / name).write_bytes((folder_of(done.runs[0], done.context.out).path / name).read_bytes())
    kept = {run.key: done.finished[run.key] for run in done.runs if run.variant != "five"}
    assert [run.variant for run in pending(done.runs, kept, tmp_path)] == ["five"]
    base.last.write_bytes(b"of an epoch before the last")
    assert [run.variant for run in pending(done.runs, kept, tmp_path)] == ["base", "five"]


def test_damaged_results_are_named(done, tmp_path):
    results = tmp_path / "results"
    assert read_completed(results) == {}
    copytree(done.context.results, results)
    finished = read_completed(results)[done.runs[0].key]
    file = finished.folder / "run.json"
    whole = file.read_text()
    for damaged in (whole[:40], json.dumps({**json.loads(whole), "seconds": None})):
        file.write_text(damaged)
        with raises(StudyError, "study-damaged"):
            read_completed(results)
    (finished.folder / "predictions_validation.npz").write_bytes(b"no")
    with raises(StudyError, "study-damaged"):
        finished.predictions()


def test_a_change_may_name_one_variant(tiny_study_file, faces):
    study = parse_study(tiny_study_file.read_text(), "small", tiny_study_file.parent)

    def planned(*changes):
        return {(run.variant, run.recipe.seed): run.recipe for run in make_plan(study, {(48, 1): faces}, changes)}

    found = planned("epochs=3", "five:epochs=2")
    assert (found["base", 0].epochs, found["five", 0].epochs, found["wild", 0].epochs) == (3, 2, 3)
    # A variant from another's weights has its network, also where that was changed.
    found = planned("base:model.widths=[4, 6]")
    assert found["five", 0].model.settings["widths"] == found["base", 1].model.settings["widths"] == [4, 6]
    assert found["wild", 0].model.settings["widths"] != [4, 6]
    assert planned("five:model.dropout=0.4")["five", 0].model.settings["dropout"] == 0.4


def test_an_error_of_missing_weights_names_the_variants_setting(tiny_study_file, faces, monkeypatch):
    """The network knows of files; the study says for which variant they are."""

    def lack_weights():
        raise ModelError("not on this machine.", code="weights-unreadable")

    def without_weights(recipe, classes):
        network = check_network(recipe, classes)
        if recipe.name.endswith("wild"):
            network.load_pretrained = lack_weights
        return network

    monkeypatch.setattr(scheduler, "check_network", without_weights)
    text = tiny_study_file.read_text()
    with raises(ModelError, "weights-unreadable", "'wild'", "--set wild:model.weights=FILE"):
        make_plan(parse_study(text, "small", tiny_study_file.parent), {(48, 1): faces})
    study = parse_study(text, "small", tiny_study_file.parent).restricted(["merged"])
    assert [run.variant for run in make_plan(study, {(48, 1): faces})] == ["base", "five"]
