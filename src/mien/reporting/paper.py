"""Files for a paper about a run: a paragraph of methods, a table of hyperparameters, and references in BibTeX."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from operator import attrgetter
from pathlib import Path
from typing import Any

from mien.base.recipe import LOSS_KEYS, SAID, Recipe, dotted
from mien.base.recipe_tables import MIXES
from mien.base.run_folder import RunFolder, best_epoch
from mien.page.page import Column, Table
from mien.page.wording import counted, duration_text, escape, kept_epoch_text
from mien.version import __version__

Sentence = tuple[str, Sequence[str]]
"""A sentence without its full stop, and the keys of what it cites."""

_FER2013_TRAIN = 28_709
"""Number of training images of FER2013, by which it is recognised."""


def paper_files(
    run: RunFolder | None, class_counts: Mapping[str, Sequence[int]], parameters: int, label: str
) -> dict[str, str]:
    """Return the texts of ``methods.tex``, ``hyperparameters.tex`` and ``references.bib`` by name, if there are any.

    ``class_counts`` has the number of samples of each class (C) by split; ``label`` is the prefix of the table's label.
    """
    sentences = [*_methods(run, class_counts, parameters)]
    if run is None or not sentences:
        return {}
    cited = {key for _, keys in sentences for key in keys}
    paragraph = " ".join(escape(text) + (f"~\\cite{{{','.join(keys)}}}." if keys else ".") for text, keys in sentences)
    table = hyperparameters(run.read_recipe(), run.read_environment().get("not_of_the_recipe", {}))
    entries = re.split(r"\n(?=@)", files("mien.reporting").joinpath("references.bib").read_text(encoding="utf-8"))
    known = {each.partition("{")[2].partition(",")[0]: each.strip() for each in entries}
    return {
        "methods.tex": f"{paragraph}\n",
        "hyperparameters.tex": table.to_latex(label=f"tab:{label}-hyperparameters"),
        "references.bib": "\n\n".join(known[key] for key in sorted(cited)).replace("VERSION", __version__) + "\n",
    }


def methods_text(run: RunFolder, class_counts: Mapping[str, Sequence[int]], parameters: int) -> str:
    """Describe how a run was trained: network, data, optimiser, schedule, augmentation, seed.

    Empty without a run, and for a built-in model, because its card says how it was made.
    """
    return " ".join(f"{text}." for text, _ in _methods(run, class_counts, parameters))


def hyperparameters(recipe: Recipe, own: Mapping[str, str] = {}) -> Table:
    """Return a table of the keys that differ from their defaults or always matter, but not of what ``own`` replaces."""
    always = ["seed", "model.name"]
    if not recipe.tuning.fit_head:
        rates = 0 if recipe.optim.file else 1 if recipe.optim.name in {"adam", "adamw"} else 2
        always += ["epochs", "batch_size", "schedule.name", "optim.name", *["optim.lr", "optim.momentum"][:rates]]
    replaced = (*LOSS_KEYS, "balance.effective_beta") if "loss" in own or recipe.loss.file else ()
    replaced += tuple(key for part, key in (("optimizer", "optim."), ("augment", "augment.")) if part in own)
    default = dotted(Recipe().resolved()) | {"name": recipe.name, "description": recipe.description}
    rows = [
        (key, Path(value).name if key.endswith(".file") else _setting(value))
        for key, value in dotted(recipe.resolved()).items()
        if (key in always or (value != default.get(key) and not key.endswith("sha256")))
        and (key in {*MIXES, "optim.clip_norm"} or not key.startswith(replaced))  # mixup and cutmix stay
    ]
    columns = (Column("hyperparameter", "text"), Column("value", "text"))
    return Table("hyperparameters", columns, [*rows, *own.items()], f"Hyperparameters of the recipe {recipe.name}.")


def _setting(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_setting, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _methods(run: RunFolder | None, class_counts: Mapping[str, Sequence[int]], parameters: int) -> Iterator[Sentence]:
    """Yield the sentences of :func:`methods_text`."""
    if run is None or not (run.path / "environment.json").is_file():
        return
    recipe, history, facts = run.read_recipe(), run.read_history(), run.read_environment()
    given, name = recipe.input, recipe.model.name
    own = {
        "optimizer" if table == "optim" else table: f"{part.name} ({part.file_sha256[:12]})"
        for table, part in recipe.own_parts.items()
    } | facts.get("not_of_the_recipe", {})
    seen = f", of which the network sees {given.crop_px} × {given.crop_px}" if given.crop_px < given.size_px else ""
    grey = "grey-scale" if given.channels == 1 else "RGB"
    family = [key for key in ("vgg", "resnet") if name.startswith(key)]
    words = f"The network {name} ({parameters:,} parameters) was trained by mien {facts.get('mien version', '')}"
    yield words.strip(), ["mien", "torch", *family]
    yield f"It classifies {grey} face crops of {given.size_px} × {given.size_px} pixels{seen}", ()
    yield from _data(recipe, facts, class_counts)
    yield from _optimisation(recipe, len(history), own)
    yield from _augmentation(recipe, own)
    if facts.get("started_from"):
        yield f"Training began with the weights of {facts['started_from']}", ()
    if facts.get("taught_by"):
        weight, heat = recipe.distill.alpha, recipe.distill.temperature
        text = f"It was distilled from {counted(len(facts['taught_by']), 'teacher')}"
        yield f"{text} with weight {weight:g} at temperature {heat:g}", ["distillation"]
    if own:
        yield f"Own code: {', '.join(f'{part} {name}' for part, name in own.items())}", ()
    if history and not recipe.tuning.fit_head:
        kept = kept_epoch_text(best_epoch(history, recipe), len(history), recipe.stopping)
        yield f"The weights are of epoch {kept}", ()
    took = ""
    if history and "device" in facts:
        device = facts["device"].replace("cpu", "the CPU")
        took = f"; training took {duration_text(history[-1]['seconds'], units=True)} on {device}"
    yield f"The seed was {recipe.seed}, the recipe {recipe.name} ({recipe.digest[7:19]}){took}", ()
    if "commit" in facts:
        yield f"The working folder was at commit {facts['commit'][:12]}", ()


def _data(recipe: Recipe, facts: Mapping[str, Any], class_counts: Mapping[str, Sequence[int]]) -> Iterator[Sentence]:
    sizes = {split: sum(counts) for split, counts in class_counts.items() if sum(counts)}
    splits = _listed(f"{size:,} {split}" for split, size in sizes.items())
    fer2013 = sizes.get("train") == _FER2013_TRAIN or "fer2013" in str(facts.get("data", "")).lower()
    name, keys = ("FER2013", ["fer2013"]) if fer2013 else (facts.get("data", "unknown"), [])
    digest = f" ({facts['data_fingerprint'][7:19]})" if "data_fingerprint" in facts else ""
    yield f"The data is {name}{digest}" + (f" with {splits} images" if splits else ""), keys
    if recipe.learns_votes:
        votes = " and ".join(name for name, output in recipe.outputs.items() if output.target != "label")
        yield f"The votes of the annotators are a target of the output {votes}", ["ferplus"] if fer2013 else ()


def _optimisation(recipe: Recipe, epochs: int, own: Collection[str]) -> Iterator[Sentence]:
    """Yield sentences about optimiser, schedule and loss; ``own`` names the parts that a user's code replaces."""
    optim, schedule = recipe.optim, recipe.schedule
    if recipe.tuning.fit_head:
        yield "Its head was fitted by cross-validated logistic regression on the features", ["linear-probe"]
        return
    names = {"sgd": "stochastic gradient descent", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop"}
    momentum = [f"{'Nesterov ' if optim.nesterov else ''}momentum {optim.momentum:g}"] if optim.name == "sgd" else []
    settings = [*momentum, f"a learning rate of {optim.lr:g}", f"a weight decay of {optim.weight_decay:g}"]
    by = "its own optimiser" if "optimizer" in own else f"{names.get(optim.name, optim.name)} with {_listed(settings)}"
    cited = {optim.name} & {"adam", "adamw"} if "optimizer" not in own else ()
    yield f"It was trained for {counted(epochs, 'epoch')} in batches of {recipe.batch_size} by {by}", [*cited]
    warmup = f" after rising from 0 in the first {100 * schedule.warmup:g}% of the steps" if schedule.warmup else ""
    end = f"{schedule.final:g} of it" if schedule.final else "0"
    cut, patience = f"was multiplied by {schedule.factor:g}", counted(schedule.patience, "epoch")
    words = {
        "constant": "was constant",
        "step": f"{cut} every {counted(schedule.step_epochs, 'epoch')}",
        "plateau": f"{cut} after {patience} without a lower loss",
        "cosine": f"fell to {end} along a cosine",
        "one-cycle": f"fell linearly to {end}",
    }[schedule.name]
    keys = {"cosine": ["cosine"], "one-cycle": ["one-cycle"]}.get(schedule.name, [])
    yield f"The learning rate {words}{warmup}", keys
    smaller = ", ".join(f"{side_px} px until {100 * share:g}%" for share, side_px in recipe.progressive_resizing)
    extras = [
        (f"{recipe.balance.sampling} sampling", recipe.balance.sampling != "none", ""),
        (f"an exponential moving average of the weights ({recipe.ema_decay:g})", recipe.ema_decay, ""),
        (f"progressive resizing ({smaller} of the run)", smaller, ""),
        ("batch norm statistics recalculated on training faces", recipe.recalibrate_bn, ""),
        (f"gradients clipped to norm {optim.clip_norm:g}", optim.clip_norm, ""),
    ]
    used = [(text, key) for text, is_used, key in extras if is_used]
    if used := [*_said(recipe, () if "loss" in own else LOSS_KEYS), *used]:
        yield f"It used {_listed(text for text, _ in used)}", [key for _, key in used if key]


def _augmentation(recipe: Recipe, own: Collection[str]) -> Iterator[Sentence]:
    taken = (key for key in SAID if key in MIXES or (key not in LOSS_KEYS and "augment" not in own))
    if used := [*_said(recipe, taken)]:
        yield f"Training images were {_listed(text for text, _ in used)}", [key for _, key in used if key]
    elif "augment" not in own and not recipe.tuning.fit_head:
        yield "Training images were not augmented", ()


def _said(recipe: Recipe, keys: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the words for each of these keys that is not off, and what they cite."""
    for key in keys:
        value, (words, cites) = attrgetter(key)(recipe), SAID[key]
        if value != attrgetter(key)(Recipe()):
            yield words.format(value, 100 * value if isinstance(value, float) else value), cites


def _listed(parts: Iterable[str]) -> str:
    *first, last = [*parts] or [""]
    return f"{', '.join(first)} and {last}" if first else last
