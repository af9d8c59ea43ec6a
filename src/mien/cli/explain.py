"""``mien explain``: map which pixels of a face a prediction depends on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mien.api.explain import Explainer, Explanation
from mien.base.errors import DataError
from mien.base.files import check_replaceable, whole_file, write_bytes
from mien.base.images import encoded
from mien.base.labels import composed
from mien.base.progress import track
from mien.base.run_folder import check_out
from mien.cli.options import stdin_as_file
from mien.cli.output import notice, show_json, show_notices, show_rows
from mien.explanation.methods import METHODS
from mien.explanation.overlay import full_scale, map_picture
from mien.inference.drawing import share_text
from mien.inference.image_files import image_files
from mien.inference.prediction import Prediction
from mien.inference.predictor import Predictor, photos_as_crops
from mien.page.charts.svg import shorten
from mien.page.wording import counted

Face = tuple[int, Prediction]
"""Number of a face in its image, from 1 as in `mien predict`, and its prediction."""


def explain(
    images: list[Path],
    *,
    out: Path | None = None,
    model: str = "default",
    crops: bool = False,
    method: list[str] = ["occlusion"],  # noqa: B006 - typer makes a fresh list of it
    target: str | None = None,
    output: str | None = None,
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Detect the faces in images, and map which pixels of each its prediction depends on.

    Each PNG shows the face and, beside it, the same face with the map in colour. Methods disagree, and a map is no
    proof: docs/explain.md shows how to check a method on a model.

    Options:
        out (DIR): Folder for a PNG for each face and method, and maps.npz. The default for photo.jpg is
            ./photo-explained.
        method (NAME): occlusion, which works with any model; gradient or gradcam, which need a run folder and
            mien[train]; or all. Can be repeated.
        target (NAME): Explain this class instead of the predicted one.
    """
    images = stdin_as_file(images)
    # Do not write into the photo's folder, which may be on a camera's memory card.
    out = Path(f"{images[0].resolve().stem}-explained") if out is None else out
    for path in images:
        check_out(out, path)
    former = (each for each in out.glob("*.png") if each.stem.rpartition("_")[2] in METHODS)
    check_replaceable([out / "maps.npz", *former], overwrite)
    names = list(dict.fromkeys(name for each in method for name in (METHODS if each == "all" else (each,))))
    explainer = Explainer(model, names, target, output=output)
    show_notices(explainer.notices)
    faces = _find_faces(images, explainer.predictor, crops)
    maps = {name: explainer.explain([each for _, each in faces], name) for name in names}
    rows: list[dict[str, Any]] = []
    with TemporaryDirectory(prefix="mien-") as folder:
        aside = Path(folder)
        for at, (number, prediction) in enumerate(faces):
            files = {name: str(out / _write_png(aside, at, faces, name, maps[name][at])) for name in names}
            target = maps[names[0]][at].target
            rows.append(
                {
                    "source": prediction.source,
                    **({} if prediction.detection_score is None else {"face": number, "box": prediction.box.to_dict()}),
                    **({"output": prediction.output} if prediction.output else {}),
                    "answer": prediction.answer,
                    "class": target,
                    "probability": prediction.probabilities[target],
                    "files": files,
                }
            )
        _write_maps(aside / "maps.npz", maps)
        for file in sorted(aside.iterdir(), key=lambda each: each.suffix == ".npz"):
            write_bytes(out / file.name, file.read_bytes())
    if json:
        show_json(rows)
    else:
        shown = [{name: value for name, value in row.items() if name != "box"} for row in rows]
        for row in shown:
            row |= {"probability": share_text(row["probability"]), "files": list(row["files"].values())}
        show_rows(shown, pipe_width=200)
    notice(f"maps: {out / 'maps.npz'}")


def _find_faces(images: Sequence[Path], predictor: Predictor, crops: bool) -> list[Face]:
    """Detect the faces and classify them. Raises :class:`DataError` without a face, or for a corrupted image."""
    files = [file for path in images for file in (image_files(path) if path.is_dir() else [path])]
    if crops:
        show_notices(photos_as_crops(files, "--crops"))
    photos = predictor.stream(files, crops=crops)
    faces: list[Face] = []
    for photo in track(photos, len(files), "detecting", "images"):
        if not photo.predictions:
            notice(f"no face: {photo.source}")
        faces += enumerate(photo.predictions, start=1)
    if not faces:
        words = f"No face in {counted(len(files), 'image')}, such as {files[0]}. If they are face crops, use --crops."
        raise DataError(words, code="no-face")
    return faces


def _write_png(folder: Path, at: int, faces: Sequence[Face], method: str, explanation: Explanation) -> str:
    """Draw a face beside its map and return the name of the file."""
    number, prediction = faces[at]
    source, largest, target = Path(prediction.source), full_scale(explanation.map), explanation.target
    # Number the files: two images may have the same name, and an image may have several faces.
    prefix = f"{at + 1:0{len(str(len(faces)))}}_" if len(faces) > 1 else ""
    file = f"{prefix}{source.stem}_{method}.png"
    title = [
        ("" if prediction.detection_score is None else f"face {number} of ") + shorten(composed(source.name), 60),
        f"{prediction.text}; {method} for {target} ({share_text(prediction.probabilities[target])})",
        f"brightest: {largest:.2g} or more, favours {target}" if largest else f"no pixel favours {target}",
    ]
    assert prediction.crop is not None
    write_bytes(folder / file, encoded(map_picture(prediction.crop, explanation.map, title)))
    return file


def _write_maps(path: Path, maps: Mapping[str, Sequence[Explanation]]) -> None:
    explanations = next(iter(maps.values()))
    predictions = [each.prediction for each in explanations]
    classes = predictions[0].classes
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(
            stream,
            images=np.stack([each.crop for each in predictions if each.crop is not None]),
            source=np.array([each.source for each in predictions], dtype=np.str_),
            boxes=np.array([[*each.box] for each in predictions], dtype=np.int64),
            targets=np.array([classes.index(each.target) for each in explanations], dtype=np.int64),
            probabilities=np.stack([each.probability_vector for each in predictions]),
            classes=np.array(classes, dtype=np.str_),
            methods=np.array(list(maps), dtype=np.str_),
            maps=np.stack([[each.map for each in by_face] for by_face in maps.values()]),
        )
