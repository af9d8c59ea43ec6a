"""``mien explain``: which pixels of a face a prediction depends on."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table
from rich.text import Text

from mien.api.explain import Explainer, Explanation
from mien.base.errors import DataError
from mien.base.files import check_replaceable, whole_file, write_bytes
from mien.base.progress import track
from mien.base.run_folder import RunFolder
from mien.cli.detection import DetectionOptions, note_photos_as_crops
from mien.cli.options import CropsOption, JsonOption, ModelArgument, OutputOption, OverwriteOption, QuietOption
from mien.cli.output import check_out, notice, show, show_json
from mien.explanation.methods import METHODS
from mien.explanation.overlay import map_picture
from mien.inference.drawing import share_text
from mien.inference.find_model import is_shipped
from mien.inference.image_files import image_files
from mien.inference.prediction import Prediction
from mien.inference.predictor import Predictor
from mien.page.wording import counted

Found = tuple[int | None, Prediction]
"""The number of a face in its photo, from 1, as in `mien predict` (None for a face crop), and its prediction."""

Maps = dict[str, list[Explanation]]
"""By method, one for each face."""


def explain(
    model: ModelArgument,
    images: Annotated[
        list[Path] | None,
        typer.Argument(help="Images, or folders of images. Without MODEL, `default` is explained.", metavar="IMAGE"),
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder for a PNG for each face and method, and maps.npz.", metavar="DIR")],
    crops: CropsOption = False,
    method: Annotated[
        list[str],
        typer.Option(
            help="occlusion, which works with any model; gradient, smoothgrad, integrated-gradients or gradcam, which "
            "need a run folder and mien[explain]; or all. Can be repeated.",
            metavar="NAME",
        ),
    ] = ["occlusion"],  # noqa: B006 - typer makes a fresh list of it
    of_class: Annotated[
        str | None, typer.Option("--class", help="Explain this class instead of the predicted one.", metavar="NAME")
    ] = None,
    output: OutputOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of smoothgrad.", metavar="N")] = 0,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Detect the faces in images, and map which pixels of each its prediction depends on.

    Each PNG shows the face and, beside it, the face under the map. Methods disagree, and a map is no proof:
    docs/explain.md shows how to check a method on a model.
    """
    model, images = _model_and_images(model, images or [])
    for path in images:
        check_out(out, path)
    check_replaceable([out / "maps.npz"], overwrite)
    names = list(METHODS) if "all" in method else list(dict.fromkeys(method))
    explainer = Explainer(model, names, of_class, seed, output)
    if explainer.quantized:
        notice(f"gradients are those of the fp32 weights that {model} was quantized from")
    found = _find(images, explainer.predictor, crops)
    places = [{name: out / _image_name(found, at, name) for name in names} for at in range(len(found))]
    check_replaceable([path for each in places for path in each.values()], overwrite)
    maps = {name: explainer.explain([each for _, each in found], name) for name in names}
    for at, by_method in enumerate(places):
        for name, path in by_method.items():
            _write_image(path, found, at, name, maps[name][at])
    _write_maps(out / "maps.npz", maps)
    rows = [_row(*each) for each in zip(found, maps[names[0]], places, strict=True)]
    if json:
        show_json(rows)
    else:
        _show_table(rows)
    notice(f"maps: {out / 'maps.npz'}")


def _model_and_images(model: str, images: list[Path]) -> tuple[str, list[Path]]:
    """In ``mien explain photo.jpg`` the first argument is no model."""
    first = Path(model)
    is_image = first.is_file() and first.suffix != ".onnx"
    if not is_shipped(model) and (is_image or (first.is_dir() and not RunFolder(first).is_run)):
        return "default", [first, *images]
    if not images:
        raise DataError(f"Give the images to explain: mien explain {model} photo.jpg --out DIR", code="images-missing")
    return model, images


def _find(images: list[Path], predictor: Predictor, crops: bool) -> list[Found]:
    """Detect and classify the faces. Raises :class:`DataError`: no face, or a bad image."""
    files = [file for path in images for file in (image_files(path) if path.is_dir() else [path])]
    if crops:
        note_photos_as_crops(files)
    photos = predictor.stream(files, crops=crops, detector=None if crops else DetectionOptions().detector())
    found: list[Found] = []
    for photo in track(photos, len(files), "detecting", "images"):
        if not photo.predictions:
            notice(f"no face: {photo.source}")
        found += [(None if crops else number, each) for number, each in enumerate(photo.predictions, start=1)]
    if not found:
        raise DataError(
            f"No face was detected in {counted(len(files), 'image')}, such as {files[0]}. If they are face crops, "
            f"use --crops.",
            code="no-face",
        )
    return found


def _row(found: Found, explanation: Explanation, places: dict[str, Path]) -> dict[str, Any]:
    number, prediction = found
    return {
        "source": prediction.source,
        **({} if prediction.box is None else {"face": number, "box": prediction.box.to_dict()}),
        **({} if prediction.detection_score is None else {"detection_score": prediction.detection_score}),
        "answer": prediction.answer,
        "class": explanation.target,
        "probability": prediction.probabilities[explanation.target],
        "files": {name: str(path) for name, path in places.items()},
    }


def _image_name(found: list[Found], at: int, method: str) -> str:
    """Files of several folders may share a name, and faces a file: a number in front tells them apart."""
    count = len(found)
    number = f"{at + 1:0{len(str(count))}}_" if count > 1 else ""
    return f"{number}{Path(found[at][1].source).stem}_{method}.png"


def _write_image(path: Path, found: list[Found], at: int, method: str, explanation: Explanation) -> None:
    number, prediction = found[at]
    several = sum(each.source == prediction.source for _, each in found) > 1
    share = share_text(prediction.probabilities[explanation.target])
    title = [
        f"{prediction.source}, face {number}" if several else prediction.source,
        f"{prediction.text}; {method} for {explanation.target} ({share})",
    ]
    assert prediction.crop is not None
    stream = io.BytesIO()
    map_picture(prediction.crop, explanation.map, title, explanation.target).save(stream, "PNG")
    write_bytes(path, stream.getvalue())


def _write_maps(path: Path, maps: Maps) -> None:
    explanations = next(iter(maps.values()))
    predictions = [each.prediction for each in explanations]
    classes = predictions[0].classes
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(
            stream,
            images=np.stack([each.crop for each in predictions if each.crop is not None]),
            source=np.array([each.source for each in predictions], dtype=np.str_),
            boxes=np.array([[*each.box] if each.box else [0] * 4 for each in predictions], dtype=np.int64),
            targets=np.array([classes.index(each.target) for each in explanations], dtype=np.int64),
            probabilities=np.stack([each.probability_vector for each in predictions]),
            classes=np.array(classes, dtype=np.str_),
            methods=np.array(list(maps), dtype=np.str_),
            maps=np.stack([[each.map for each in by_face] for by_face in maps.values()]),
        )


def _show_table(rows: list[dict[str, Any]]) -> None:
    table = Table("image", "face", "score", "answer", "class", "probability", "files", box=None, pad_edge=False)
    for row in rows:
        face, files = str(row.get("face", "")), Text("\n".join(row["files"].values()))
        score = f"{row['detection_score']:.3f}" if "detection_score" in row else ""
        words = [Text(row["source"]), face, score, row["answer"], Text(row["class"])]
        table.add_row(*words, share_text(row["probability"]), files)
    show(table)
