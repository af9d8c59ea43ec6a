"""``mien demo``: the whole workflow on synthetic faces."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer
from rich.table import Table
from rich.text import Text

from mien.base.errors import needs_extra
from mien.base.progress import is_terminal
from mien.base.recipe import load_recipe
from mien.base.run_folder import RunFolder
from mien.cli.options import JsonOption, QuietOption
from mien.cli.output import environment, notice, page_metadata, show, show_json
from mien.data.dataset import Dataset
from mien.data.synthetic import synthetic_faces
from mien.evaluation.results import Evaluation
from mien.inference.drawing import share_text
from mien.inference.predictor import Predictor, load
from mien.page.rendering import import_page_packages
from mien.page.terminal import evaluation_text
from mien.pipeline.evaluation_files import write_evaluation
from mien.pipeline.measured_split import MeasuredSplit
from mien.pipeline.split_predictions import predict_split, temperature_description
from mien.pipeline.training_view import TrainProgress

FACES = 10_000
SHOWN: tuple[str, ...] = ("happy", "surprise", "angry")
_SOURCE = f"{FACES:,} synthetic faces, seed 0"


def demo(
    out: Annotated[
        Path | None, typer.Option(help="The run folder to create. The default is mien-demo.", metavar="DIR")
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run the whole workflow on synthetic faces: train, test, report, export, predict.

    The faces are drawn by mien; the accuracy on them says nothing about people.
    """
    with needs_extra("train,report", "The demo"):
        import_page_packages()

        from mien.pipeline.training_run import run_recipe
        from mien.training.plan import plan_training

    run = RunFolder(out or _free("mien-demo"))
    run.check_free()
    recipe = load_recipe("demo")
    notice(f"1/4  Drawing {FACES:,} synthetic faces; no data of real people is used")
    faces = synthetic_faces(FACES, seed=0)
    notice(f"2/4  Training recipe '{recipe.name}': {recipe.epochs} epochs of {recipe.model.name}")
    plan = plan_training(recipe, faces)
    if run_recipe(plan, run, callback=TrainProgress(), metadata=environment(_SOURCE)).was_stopped:
        raise typer.Exit(130)
    notice("3/4  Testing model.onnx on faces that were not used in training")
    predictor = load(run.path).for_labels()
    evaluation, report = _test(run, predictor, faces)
    if json:
        show_json({"run": str(run.path), "report": str(report), **evaluation.to_dict()})
        return
    show(evaluation_text(evaluation))
    notice(f"4/4  Classifying {len(SHOWN)} of them")
    _show_some(predictor, faces.of_split("test"))
    typer.echo(f"report:  {report}\nmodel:   {run.model}\nnext:    mien train quick --data YOUR_DATA")


def _test(run: RunFolder, predictor: Predictor, faces: Dataset) -> tuple[Evaluation, Path | None]:
    """Evaluate on the test split and write the report; the ledger of the run counts this use."""
    predictions = predict_split(predictor, faces, "test")
    evaluation = MeasuredSplit.resolve(predictions, faces).evaluate()
    run.note_test_use(
        {"data": "synthetic", "data_fingerprint": faces.fingerprint, "accuracy": evaluation.accuracy.value}
    )
    tempered = temperature_description(predictor, faces, "test")
    report = write_evaluation(
        run.path / "test",
        predictions,
        evaluation,
        title="demo: test, on synthetic faces",
        history=run.read_history(),
        best_epoch=predictor.manifest.epoch,
        class_counts=faces.counts_by_split(),
        metadata={"probabilities": tempered, **page_metadata(environment(_SOURCE))},
    )
    return evaluation, report


def _free(name: str) -> Path:
    """``name``, or ``name-2``, ``name-3``, ... : a demo can be repeated without cleaning up."""
    number, path = 1, Path(name)
    while path.exists():
        number += 1
        path = Path(f"{name}-{number}")
    return path


def _show_some(predictor: Predictor, faces: Dataset) -> None:
    """Show a face of each of :data:`SHOWN` and its prediction; as text where the terminal has colours."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    images, captions = [], []
    for name in SHOWN:
        index = int((faces.labels == faces.classes.index(name)).argmax())
        (prediction,) = predictor.predict_crops(faces.images[index])
        images.append(Text.from_ansi(_half_blocks(faces.images[index])))
        captions.append(f"drawn:     {name}\npredicted: {prediction.top} {share_text(prediction.confidence)}")
    if is_terminal(sys.stdout):
        table.add_row(*images)
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
