"""``mien embed``: a model's own description of each face. Works without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.cli.options import (
    CleanOption,
    JsonOption,
    MapOption,
    ModelOption,
    QuietOption,
    SkipBadOption,
    remark,
    show_json,
)
from mien.cli.source import Source

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

EMBED_HELP = "Any data that mien reads, a folder of images of faces, or one image."


def embed(
    path: Annotated[Path, typer.Argument(help=EMBED_HELP)],
    out: Annotated[Path, typer.Option(help="The .npz file to write.", metavar="FILE")],
    model: ModelOption = "default",
    class_map: MapOption = None,
    skip_bad: SkipBadOption = False,
    clean: CleanOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write what the model's last layer sees of each face: vectors to search, cluster or draw.

    The file holds features float32 (N, D), rows and source; of labelled data also labels, classes and split, without
    the test split, which only mien evaluate opens.
    """
    import numpy as np

    from mien.errors import RunError
    from mien.files import whole_file
    from mien.inference.classifier import BATCH, load
    from mien.progress import track

    if out.suffix != ".npz" or out.is_dir():
        raise RunError(f"--out must name a .npz file; found {out}.")
    classifier = load(model)
    source = Source(path, class_map, skip_bad, clean)
    images, facts = _faces(source, classifier.manifest.input.size_px)
    starts = track(range(0, len(images), BATCH), total=-(-len(images) // BATCH), what="embedding", unit="batches")
    features = np.concatenate([classifier.features(images[first : first + BATCH]) for first in starts])
    with whole_file(out) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, features=features, **facts)
    if json:
        show_json({"file": str(out), "faces": len(features), "dimensions": features.shape[1], "arrays": list(facts)})
    else:
        typer.echo(f"{out}: {len(features):,} faces, {features.shape[1]} numbers each")


def _faces(source: Source, size_px: int) -> tuple[npt.NDArray[np.uint8], dict[str, Any]]:
    """The faces of a source and what is known of them, as arrays to store."""
    import numpy as np

    from mien.errors import DataError

    if _is_labelled(source.path):
        faces = source.read(size_px).faces
        of_test = faces.split == "test"
        if of_test.all():
            raise DataError(f"{source.path} holds faces of the test split only; only mien evaluate opens it.")
        if of_test.any():
            remark(f"{of_test.sum():,} faces of the test split are left out: only mien evaluate opens it.")
            faces = faces.subset(~of_test)
        return faces.images, {
            "rows": faces.rows,
            "source": faces.source,
            "labels": faces.labels,
            "classes": np.array(faces.classes, dtype=np.str_),
            "split": faces.split,
        }
    if source.clean is not None:
        raise DataError(f"--clean is a list for labelled data; {source.path} has no labels.")
    files, squares = _crops(source.path, size_px, source.skip_bad)
    rows = np.arange(len(files), dtype=np.int64)
    return np.stack(squares), {"rows": rows, "source": np.array(files, dtype=np.str_)}


def _is_labelled(path: Path) -> bool:
    from mien.data.folders import holds_class_folders, is_image_name
    from mien.data.read import describe_source

    if path.is_file() and is_image_name(path.name):
        return False
    return not path.is_dir() or describe_source(path) != "class folders" or holds_class_folders(path)


def _crops(path: Path, size_px: int, skip_bad: bool) -> tuple[list[str], list[npt.NDArray[np.uint8]]]:
    from mien.errors import DataError
    from mien.inference.image_files import image_files, read_square

    files: list[str] = []
    squares: list[npt.NDArray[np.uint8]] = []
    for file in image_files(path) if path.is_dir() else [path]:
        try:
            squares.append(read_square(file, size_px))
            files.append(str(file))
        except DataError as error:
            if not skip_bad:
                raise DataError(f"{error} (--skip-bad leaves such pictures out)") from None
            remark(f"left out: {error}")
    if not files:
        raise DataError(f"{path} holds no image that can be read.")
    return files, squares
