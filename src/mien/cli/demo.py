"""``mien demo``: the main job, end to end, on rendered faces."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.options import JsonOption, QuietOption, environment, page_facts, remark, show, show_json
from mien.errors import needs_extra

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mien.data.faceset import FaceSet
    from mien.inference.classifier import Classifier

FACES = 10_000
SHOWN = ("happy", "surprise", "angry")


def demo(
    out: Annotated[Path | None, typer.Option(help="The run folder to make; mien-demo by default.")] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Render faces, train on them, test, write the report, export, and read a few faces.

    The faces are drawn by mien; how well they are read says nothing about people.
    """
    with needs_extra("train,report", "The demo"):
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401

        from mien.experiments.run import run_recipe
    from mien.cli.train_view import TrainView
    from mien.data.synthetic import synthetic_faces
    from mien.evaluation.evaluate import evaluate_scores
    from mien.experiments.measure import score_split, temperature_words, without_copies, write_evaluation
    from mien.inference.classifier import load
    from mien.recipe_file import load_recipe
    from mien.report.table import evaluation_table
    from mien.run_folder import RunFolder

    run = RunFolder(out or _free("mien-demo"))
    run.check_free()
    recipe = load_recipe("demo")
    remark(f"1/4  Rendering {FACES:,} synthetic faces (drawn by mien; nothing here is about real people)")
    faces = synthetic_faces(FACES, seed=0)
    source = f"{FACES:,} synthetic faces, seed 0"
    remark(f"2/4  Training recipe '{recipe.name}': {recipe.epochs} epochs of {recipe.model.name}")
    with TrainView(recipe, faces) as view:
        run_recipe(recipe, faces, run, watch=view, facts=environment(source))
    remark("3/4  Testing model.onnx on faces that training never saw")
    classifier = load(run.path)
    scores = score_split(classifier, faces, "test")
    evaluation = evaluate_scores(scores)
    run.note_test_use(
        {"data": "synthetic", "data_fingerprint": faces.fingerprint, "accuracy": evaluation.accuracy.value}
    )
    report = write_evaluation(
        run.path / "test",
        scores,
        evaluation,
        title="demo: test, on synthetic faces",
        history=run.read_history(),
        best_epoch=classifier.manifest.epoch,
        class_counts=faces.counts_by_split(),
        subsets=without_copies(faces, scores),
        facts={"probabilities": temperature_words(classifier, faces, "test"), **page_facts(environment(source))},
    )
    if json:
        show_json({"run": str(run.path), "report": str(report), **evaluation.to_dict()})
        return
    show(evaluation_table(evaluation))
    remark(f"4/4  Reading {len(SHOWN)} of them")
    _read_some(classifier, faces.of_split("test"))
    typer.echo(f"report:  {report}\nmodel:   {run.model}\nnext:    mien train quick --data YOUR_DATA")


def _free(name: str) -> Path:
    """``name``, or ``name-2``, ``name-3``, ... : a demo is run again without tidying up."""
    number, path = 1, Path(name)
    while path.exists():
        number += 1
        path = Path(f"{name}-{number}")
    return path


def _read_some(classifier: Classifier, faces: FaceSet) -> None:
    """Show one face of each of :data:`SHOWN`, as text where the terminal has colours, and what is read in it."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    pictures, captions = [], []
    for name in SHOWN:
        index = int((faces.labels == faces.classes.index(name)).argmax())
        reading = classifier.predict(faces.images[index], crops=True)
        pictures.append(Text.from_ansi(_half_blocks(faces.images[index])))
        captions.append(f"drawn: {name}\nread:  {reading.top} {reading.confidence:.0%}")
    if sys.stdout.isatty():
        table.add_row(*pictures)
    table.add_row(*captions)
    show(table)


def _half_blocks(image: npt.NDArray[np.uint8]) -> str:
    """A face (48, 48) as text: 24 columns, 12 lines of two pixels each, in 24 shades of grey."""
    small = image.reshape(24, 2, 24, 2).mean(axis=(1, 3))
    shades = (232 + small / 256 * 24).astype(int)
    lines = []
    for upper, lower in zip(shades[::2], shades[1::2], strict=True):
        cells = (f"\x1b[38;5;{top};48;5;{bottom}m▀" for top, bottom in zip(upper, lower, strict=True))
        lines.append("".join(cells) + "\x1b[0m")
    return "\n".join(lines)
