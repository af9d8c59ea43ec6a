"""``mien demo``: the whole workflow on synthetic faces, by the functions of ``import mien``."""

from pathlib import Path

import typer

from mien.api.evaluate import evaluate
from mien.api.train import train
from mien.base.errors import needs_extra
from mien.base.run_folder import RunFolder
from mien.cli.output import notice, show, show_rows
from mien.data.synthetic import synthetic_faces
from mien.inference.drawing import share_text
from mien.inference.predictor import load
from mien.page.chart import import_page_packages
from mien.page.terminal import evaluation_text

FACES = 10_000
SHOWN: tuple[str, ...] = ("happy", "surprise", "angry")
PORTRAITS: Path = Path(__file__).parents[1] / "shipped" / "faces"


def demo(*, out: Path = Path("mien-demo")) -> None:
    """Run the whole workflow on synthetic faces: train, test, report, export, predict.

    The faces are drawn by mien; the accuracy on them says nothing about people. At the end a built-in model classifies
    four portraits from an image generator.

    Options:
        out (DIR): The run folder to create.
    """
    with needs_extra("train,report", "The demo"):
        import_page_packages()
        import mien.training.loop  # noqa: F401

    RunFolder(out).check_free()
    notice(f"1/5  Drawing {FACES:,} synthetic faces; no data of real people is used")
    faces = synthetic_faces(FACES, seed=0)
    notice("2/5  Training recipe 'demo'")
    trained = train("demo", faces, out=out)
    if trained.was_stopped:
        raise typer.Exit(130)
    notice("3/5  Testing model.onnx on faces that were not used in training")
    tested = evaluate(out, faces, "test")
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
