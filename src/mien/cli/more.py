"""Commands about models and the installation, and the demonstration."""

import platform
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from itertools import chain
from pathlib import Path

import typer
from packaging.requirements import Requirement

import mien
from mien.base.errors import MienError, needs_extra, share_text
from mien.base.heads import VotesHead
from mien.base.model_file import Manifest, read_manifest
from mien.base.processes import available_cores
from mien.base.progress import track
from mien.base.recipe import dump_recipe, list_recipes, load_recipe
from mien.base.run_folder import SHIPPED, RunFolder, find_model, find_trained
from mien.cli.options import shows
from mien.cli.output import leave_out, notice, show, show_facts, show_json, show_rows
from mien.cli.source import SourceOptions
from mien.data.synthetic import synthetic_faces
from mien.faces.find import find_detector
from mien.inference.predictor import load
from mien.page.chart import import_page_packages
from mien.page.terminal import evaluation_text
from mien.page.wording import counted
from mien.serve.built_page import STATIC
from mien.version import __version__

FACES = 10_000
SHOWN: tuple[str, ...] = ("happy", "surprise", "angry")
PORTRAITS: Path = Path(__file__).parents[1] / "shipped" / "faces"


_CORE = ("numpy", "Pillow", "pydantic", "typer", "rich")

Check = tuple[str, str, str]
"""A row of `mien doctor`: the subject, what is installed, and how to add what is missing (else empty)."""


@shows(mien.export, reads=SourceOptions)
def export(export_run: partial[mien.ExportResult], *, json: bool = False) -> None:
    """See :func:`mien.export`.

    Options:
        out (FILE): The .onnx file to write. The default is RUN/model.onnx, model.half.onnx or model.int8.onnx.
    """
    made = export_run()
    if made.precision == "fp32" and not read_manifest(made.file).scores:
        words = f"{made.file} has neither metrics nor a temperature. Evaluate the run with mien train --resume."
        notice(words, "metrics-missing")
    show_json(made.to_dict()) if json else typer.echo(made.description)


def info(
    model: str = "default",
    *,
    recipe: str | None = None,
    recipes: bool = False,
    layers: bool = False,
    json: bool = False,
) -> None:
    """Show the metadata of a model: classes, input, origin, metrics. With --recipes or --recipe, show recipes.

    Options:
        recipe (NAME): Print this recipe as TOML, with every key, to start your own from.
        recipes: List the built-in recipes.
        layers: List the layers of the model's network.
    """
    if recipe is not None or recipes:
        given = {"--layers": layers, "the model": model != "default", "--recipes": recipe is not None and recipes}
        leave_out("Recipes are shown without a model, one or all", given)
    if recipe is not None:
        chosen = load_recipe(recipe)
        show_json(chosen.model_dump(mode="json")) if json else typer.echo(dump_recipe(chosen), nl=False)
    elif recipes:
        known = [load_recipe(name) for name in list_recipes()]
        show_rows(
            [{"name": r.name, "model": r.model.name, "epochs": r.epochs, "description": r.description} for r in known],
            json,
        )
    elif layers:
        network, seen = mien.load_network(model), find_trained(model).read_recipe().input
        from mien.models.network import layers_of

        rows = layers_of(network, *seen.crop_and_channels[::-1])
        show_rows(rows, json)
        if not json:
            typer.echo(f"parameters: {sum(each['parameters'] for each in rows):,}")
    else:
        _show_model(model, json=json)


def _show_model(model: str, *, json: bool) -> None:
    file = find_model(model)
    manifest = read_manifest(file)
    if json:
        show_json(manifest.model_dump(mode="json"))
        return
    # A model file from elsewhere may contain any text as its recipe.
    settings = manifest.recipe.get("model")
    network = settings.get("name", "?") if isinstance(settings, dict) else "?"
    facts = {
        "file": f"{file} ({file.stat().st_size / 1e6:.2f} MB)",
        "name": manifest.full_name,
        **_outputs(manifest),
        "input": str(manifest.input),
        "precision": manifest.precision,
        "network": f"{network}, {manifest.parameters:,} parameters",
        "epoch": str(manifest.epoch),
        **{name.replace("_", " ", 1): f"{value:.4f}" for name, value in manifest.scores.items()},
        **({"metrics": "computed without the temperature"} if manifest.scores else {}),
        "recipe": f"{manifest.recipe.get('name', manifest.name)}, {manifest.recipe_digest}",
        "data": manifest.data_fingerprint,
        **({"related data": ", ".join(manifest.cleaned_from)} if manifest.cleaned_from else {}),
        "licence": f"{manifest.licence} (of the network and its initial weights, not of the training data)",
        "created": f"{manifest.created} by mien {manifest.mien_version}",
    }
    show_facts(facts)


def _outputs(manifest: Manifest) -> dict[str, str]:
    """Return classes and temperature of each output, the default output first."""
    rows = {}
    for each in sorted(manifest.outputs_to_choose, key=lambda output: output != manifest.output()):
        named = "" if each.name is None else f"{each.name}: "
        rows[f"{named}classes"] = ", ".join(each.classes)
        rows[f"{named}temperature"] = f"{each.temperature:g}"
        if named:
            rows[f"{named}probabilities"] = "shares of people" if each.perceived else "of the label"
        if isinstance(each, VotesHead) and each.rule is not None:
            rows[f"{named}probabilities"] = f"of {each.rule.output}: {each.rule}"
            shares = (f"{name} {share_text(share)}" for name, share in zip(each.given, each.rule.prior, strict=True))
            rows[f"{named}prior"] = f"in training {', '.join(shares)}"
    return rows


def demo(*, out: Path = Path("mien-demo")) -> None:
    """Run the whole workflow on synthetic faces: train, test, report, export, predict.

    The faces are drawn by mien; the accuracy on them says nothing about people. At the end a built-in model classifies
    four portraits from an image generator.

    Options:
        out (DIR): The run folder to create.
    """
    with needs_extra("train,report", "The demo"):
        import_page_packages()
        import mien.training.loop

    RunFolder(out).check_free()
    notice(f"1/5  Drawing {FACES:,} synthetic faces; no data of real people is used")
    faces = synthetic_faces(FACES, seed=0)
    notice("2/5  Training recipe 'demo'")
    trained = mien.train("demo", faces, out=out)
    if trained.was_stopped:
        raise typer.Exit(130)
    notice("3/5  Testing model.onnx on faces that were not used in training")
    tested = mien.evaluate(out, faces, "test")
    report = tested.write_report(out / "test")
    show(evaluation_text(tested.evaluation))
    notice(f"4/5  Classifying {len(SHOWN)} of them")
    test = faces.of_split("test")
    chosen = [int((test.labels == test.classes.index(name)).argmax()) for name in SHOWN]
    predictions = trained.model.predict_crops(list(test.images[chosen]))
    show_rows(
        [
            {"drawn": name, "predicted": each.top, "probability": share_text(each.confidence)}
            for name, each in zip(SHOWN, predictions, strict=True)
        ]
    )
    notice("5/5  Detecting and classifying faces in four generated portraits with the model default")
    show_rows(
        [
            {"portrait": file.stem, "expression": each.answer, "probability": share_text(each.confidence)}
            for file in sorted(PORTRAITS.glob("*.jpg"))
            for each in load().predict(file)
        ]
    )
    typer.echo(f"report:  {report}\nmodel:   {out / 'model.onnx'}\nnext:    mien train quick --data YOUR_DATA")


def doctor(*, json: bool = False) -> None:
    """Show what is installed, which extras work, which model, detector and device are used, and what is missing."""
    checks = track(chain(_here(), _extras(), _own_files()), None, "checking", "parts")
    show_rows([dict(zip(("name", "found", "to_add_it"), each, strict=True)) for each in checks], json)


def _here() -> Iterator[Check]:
    # Importing this takes a fifth of a second, which `mien doctor --help` should not need.
    import onnxruntime

    system = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    yield "mien", f"{__version__}, {system}, {counted(available_cores(), 'core')}", ""
    # Another package may provide onnxruntime, such as onnxruntime-gpu (docs/predict.md).
    runtime = f"onnxruntime {onnxruntime.__version__}"
    yield "core", ", ".join([*(f"{name} {version(name)}" for name in _CORE), runtime]), ""
    providers = set(onnxruntime.get_available_providers()) - {"AzureExecutionProvider"}  # it sends images to a server
    yield "runs models on", ", ".join(sorted(providers)), ""
    try:
        from mien.training.device import default_device

        yield "trains on", default_device(), ""
    except ModuleNotFoundError as error:
        yield "trains on", f"nothing: {error.name} is not installed", ""


def _extras() -> Iterator[Check]:
    """Yield each extra of the package, with its missing packages."""
    for name in sorted({*metadata("mien").get_all("Provides-Extra", ())} - {"all", "test", "dev"}):
        missing = [problem for each in _packages_of(name) if (problem := _problem(each))]
        advice = f"pip install 'mien[{name}]'" if missing else ""
        yield f"extra {name}", f"missing: {', '.join(missing)}" if missing else "works", advice


def _packages_of(name: str) -> Iterator[Requirement]:
    """Yield the packages that an extra requires; ``mien[train]`` in it is replaced by the requirements of train."""
    for each in map(Requirement, requires("mien") or ()):
        if each.marker is not None and each.marker.evaluate({"extra": name}):
            nested = [_packages_of(extra) for extra in each.extras] if each.name == "mien" else [[each]]
            yield from chain.from_iterable(nested)


def _problem(requirement: Requirement) -> str:
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return requirement.name
    too_old = not requirement.specifier.contains(found, prereleases=True)
    return f"{requirement.name}{requirement.specifier} (found {found})" if too_old else ""


def _tried(name: str, describe: Callable[[], str]) -> Check:
    try:
        return name, describe(), ""
    except MienError as error:
        return name, str(error), "install mien again"


def _load(name: str) -> str:
    manifest = load(name).manifest
    return f"loads; {manifest.parameters:,} parameters, {manifest.precision}"


def _own_files() -> Iterator[Check]:
    yield from (_tried(f"model {name}", partial(_load, name)) for name in SHIPPED)
    yield _tried("face detector", lambda: find_detector().name)
    if (STATIC / "index.html").is_file():
        yield "browser page", "built", ""
    else:
        yield "browser page", "not built", "make web, in a checkout with Node 20.19 or newer"
