"""``mien embed``: the feature vector of each face. Works without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from mien.base.errors import DataError, RunError
from mien.base.files import whole_file
from mien.base.preprocess import InputSpec
from mien.base.progress import slices, track
from mien.cli.options import JsonOption, ModelOption, QuietOption
from mien.cli.output import notice, show_json
from mien.cli.source import Source, SourceOptions
from mien.data.folders import holds_class_folders, is_image_name
from mien.data.shapes import describe_source
from mien.inference.image_files import image_files, read_crop
from mien.inference.onnx_classifier import BATCH
from mien.inference.predictor import load


def embed(
    path: Annotated[
        Path, typer.Argument(help="Labelled data, a folder of images of face crops, or one such image.", metavar="PATH")
    ],
    out: Annotated[Path, typer.Option(help="The .npz file to write.", metavar="FILE")],
    model: ModelOption = "default",
    *,
    data_options: SourceOptions,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write the feature vector of each face, from the layer before the classifier: to search, cluster or plot.

    The file holds features float32 (N, D), rows (sample ids) and source (the file or line of each face). Labelled data
    adds labels, classes and split; its test split is left out, because only mien evaluate uses it.
    """
    if out.suffix != ".npz" or out.is_dir():
        raise RunError(f"--out must name a .npz file; found {out}.", code="out-suffix")
    predictor = load(model)
    source = data_options.at(path)
    images, arrays = _faces(source, predictor.manifest.input)
    batches = slices(len(images), BATCH)
    shown = track(batches, len(batches), "embedding", "batches")
    features = np.concatenate([predictor.features(images[batch]) for batch in shown])
    with whole_file(out) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, features=features, **arrays)
    if json:
        show_json({"file": str(out), "faces": len(features), "dimensions": features.shape[1], "arrays": list(arrays)})
    else:
        typer.echo(f"{out}: {len(features):,} faces, {features.shape[1]} features each")


def _faces(source: Source, spec: InputSpec) -> tuple[npt.NDArray[np.uint8], dict[str, Any]]:
    """The faces of a source, uint8 (N, S, S[, 3]), and the arrays to store beside their features."""
    if _is_labelled(source.path):
        faces = source.read(*spec.stored_as).faces
        of_test = faces.split == "test"
        if of_test.all():
            raise DataError(f"{source.path} has only the test split, which only mien evaluate uses.", code="split-test")
        if of_test.any():
            notice(
                f"skipped {of_test.sum():,} samples of the test split, which only mien evaluate uses.",
                "test-split-skipped",
            )
            faces = faces.subset(~of_test)
        return faces.images, {
            "rows": faces.rows,
            "source": faces.source,
            "labels": faces.labels,
            "classes": np.array(faces.classes, dtype=np.str_),
            "split": faces.split,
        }
    if source.clean is not None:
        raise DataError(f"--clean needs labelled data; {source.path} has no labels.", code="options")
    files, images = _crops(source.path, spec, source.skip_bad)
    rows = np.arange(len(files), dtype=np.int64)
    return np.stack(images), {"rows": rows, "source": np.array(files, dtype=np.str_)}


def _is_labelled(path: Path) -> bool:
    if path.is_file() and is_image_name(path.name):
        return False
    return not path.is_dir() or describe_source(path) != "class folders" or holds_class_folders(path)


def _crops(path: Path, spec: InputSpec, skip_bad: bool) -> tuple[list[str], list[npt.NDArray[np.uint8]]]:
    files: list[str] = []
    images: list[npt.NDArray[np.uint8]] = []
    for file in image_files(path) if path.is_dir() else [path]:
        try:
            images.append(read_crop(file, spec))
            files.append(str(file))
        except DataError as error:
            if not skip_bad:
                raise DataError(f"{error} (--skip-bad skips such images)", code=error.code) from None
            notice(f"skipped: {error}")
    if not files:
        raise DataError(f"{path} has no image that can be read.", code="no-images")
    return files, images
