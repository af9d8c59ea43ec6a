"""Oracles: the study's own lists, counts of the data, and the files that a run leaves."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from mien.base.errors import DataError, ModelError, RecipeError, StudyError
from mien.runs import scheduler
from mien.runs.plan import folder_of, pending, read_completed
from mien.runs.scheduler import make_plan
from mien.runs.spec import parse_study
from mien.training.state import check_network
from support import raises


def test_a_key_depends_on_recipe_seed_data_parent_and_initial_weights(done, faces):
    run = done.runs[1]

    def changed(**fields):
        return dataclasses.replace(run, **fields)

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
    faces = dataclasses.replace(faces, rows=faces.rows + 1000)
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
    voters = (voted_faces, dataclasses.replace(voted_faces, votes=voted_faces.votes + 1))
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
    # What is merged after training is run by running what it is merged from.
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
    shutil.copytree(done.context.results, results)
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
    # What begins with another's weights has its network, also where that was changed.
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
