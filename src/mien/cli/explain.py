"""``mien explain``: map which pixels of a face a prediction depends on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mien.api.explain import check_free, find_job
from mien.base.errors import DataError
from mien.base.progress import track
from mien.base.run_folder import check_out
from mien.cli.options import stdin_as_file
from mien.cli.output import notice, show_json, show_notices, show_rows
from mien.inference.drawing import share_text
from mien.inference.image_files import image_files
from mien.inference.prediction import Prediction
from mien.inference.predictor import Predictor, photos_as_crops
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

    Each PNG shows the face and, beside it, the same face with the map in colour; maps.pdf, .svg and .png show all of
    them. Methods disagree, and a map is no proof: docs/explain.md shows how to check a method on a model.

    Options:
        out (DIR): Folder for a PNG for each face and method, figures of all maps and of the mean map of each class,
            and maps.npz. The default for photo.jpg is ./photo-explained.
        method (NAME): occlusion, which works with any model; gradient or gradcam, which need a run folder and
            mien[train]; or all. Can be repeated.
        target (NAME): Explain this class instead of the predicted one.
    """
    images = stdin_as_file(images)
    # Do not write into the photo's folder, which may be on a camera's memory card.
    out = Path(f"{images[0].resolve().stem}-explained") if out is None else out
    for path in images:
        check_out(out, path)
    check_free(out, overwrite)
    job = find_job(model, method, target, output)
    show_notices(job.notices)
    faces = _find_faces(images, job.predictor, crops)
    explanations = job.explain([prediction for _, prediction in faces])
    files = explanations.save(out, overwrite=overwrite)
    count = len(job.methods)
    rows: list[dict[str, Any]] = []
    for at, (number, prediction) in enumerate(faces):
        own = slice(at * count, (at + 1) * count)
        explained = explanations[own][0].target
        rows.append(
            {
                "source": prediction.source,
                **({} if prediction.detection_score is None else {"face": number, "box": prediction.box.to_dict()}),
                **({"output": prediction.output} if prediction.output else {}),
                "answer": prediction.answer,
                "class": explained,
                "probability": prediction.probabilities[explained],
                "files": dict(zip(job.methods, map(str, files[own]), strict=True)),
                "full_scale": {each.method: each.full_scale for each in explanations[own]},
            }
        )
    if json:
        show_json(rows)
    else:
        shown = [{name: value for name, value in row.items() if name not in {"box", "full_scale"}} for row in rows]
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
