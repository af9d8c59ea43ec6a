"""``mien explain``: which pixels of a face a model went by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.cli.options import (
    JsonOption,
    ModelOption,
    OverwriteOption,
    QuietOption,
    check_out,
    remark,
    show,
    show_json,
)
from mien.errors import needs_extra

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mien.inference.classifier import Classifier


def explain(
    images: Annotated[list[Path], typer.Argument(help="Images of faces, cut out already, or folders of them.")],
    out: Annotated[Path, typer.Option(help="Folder for a PNG per image and method, and maps.npz.", metavar="DIR")],
    model: ModelOption = "default",
    method: Annotated[
        list[str],
        typer.Option(
            help="occlusion, which needs only the .onnx file; gradient, smoothgrad, integrated-gradients or gradcam, "
            "which need the run folder and mien[explain]; or all. May be given several times."
        ),
    ] = ["occlusion"],  # noqa: B006 - typer makes a fresh list of it
    of_class: Annotated[
        str | None, typer.Option("--class", help="Explain this class instead of the predicted one.", metavar="NAME")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of smoothgrad's noise.")] = 0,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Map which pixels spoke for an expression, and lay the map over the face.

    Each PNG shows the face and, beside it, the face under the map. Maps differ between methods, and a map is no
    proof: docs/explain.md tells how to check a method on a model.
    """
    import numpy as np

    from mien.explain.methods import explain as make_maps
    from mien.files import check_replaceable
    from mien.inference.classifier import load
    from mien.progress import track

    for path in images:
        check_out(out, path)
    classifier = load(model)
    names = _methods(method)
    network = _network(model, classifier, names)
    files, faces = _read(images, classifier.manifest.input.size_px)
    places = [
        {name: out / _picture_name(at, len(files), file, name) for name in names} for at, file in enumerate(files)
    ]
    check_replaceable([out / "maps.npz", *(path for each in places for path in each.values())], overwrite)
    probabilities = classifier.probabilities(faces)
    targets = _targets(classifier, probabilities, of_class)
    maps: dict[str, npt.NDArray[np.float32]] = {}
    for name in names:
        parts = track(range(0, len(faces), 8), total=-(-len(faces) // 8), what=name, unit="batches of 8")
        maps[name] = np.concatenate(
            [
                make_maps(
                    name,
                    faces[first : first + 8],
                    targets[first : first + 8],
                    predict=classifier.probabilities,
                    model=network,
                    crop_px=classifier.manifest.input.crop_px,
                    seed=seed,
                )
                for first in parts
            ]
        )
    rows = []
    for index, file in enumerate(files):
        chosen = int(targets[index])
        row: dict[str, Any] = {
            "source": str(file),
            "class": classifier.classes[chosen],
            "probability": float(probabilities[index, chosen]),
            "files": {name: str(path) for name, path in places[index].items()},
        }
        rows.append(row)
        for name, picture in row["files"].items():
            _write_picture(Path(picture), faces[index], maps[name][index])
    _write_maps(out / "maps.npz", files, faces, targets, probabilities, classifier.classes, maps)
    if json:
        show_json(rows)
    else:
        _show_table(rows)
    remark("Each picture was taken for a face that is cut out already: none was looked for.")
    remark(f"maps: {out / 'maps.npz'}")


def _methods(wanted: list[str]) -> list[str]:
    from mien.explain.methods import METHODS, find_method

    if "all" in wanted:
        return list(METHODS)
    for name in wanted:
        find_method(name)
    return list(dict.fromkeys(wanted))


def _network(model: str, classifier: Classifier, names: list[str]) -> Any:
    """The network for the methods that need it; None where none does."""
    from mien.errors import ModelError
    from mien.explain.methods import METHODS
    from mien.inference.locate import find_run_of_model

    needing = [name for name in names if METHODS[name].needs_torch]
    if not needing:
        return None
    run = find_run_of_model(model)
    if run is None or not run.best.is_file():
        raise ModelError(
            f"{model} is a model without its weights for torch, which allow --method occlusion only; {needing[0]} "
            f"needs a run folder with recipe.toml and best.safetensors."
        )
    if classifier.manifest.precision == "int8":
        remark(f"{', '.join(needing)}: by the weights that {model} was rounded from")
    with needs_extra("explain", f"The method {needing[0]}"):
        from mien.explain.torch_model import load_torch_model
    return load_torch_model(run, classifier.manifest.temperature)


def _read(images: list[Path], size_px: int) -> tuple[list[Path], npt.NDArray[np.uint8]]:
    import numpy as np

    from mien.inference.image_files import image_files, read_square

    files = [file for path in images for file in (image_files(path) if path.is_dir() else [path])]
    return files, np.stack([read_square(file, size_px) for file in files])


def _targets(
    classifier: Classifier, probabilities: npt.NDArray[np.float64], of_class: str | None
) -> npt.NDArray[np.int64]:
    import numpy as np

    from mien.errors import DataError, nearest

    if of_class is None:
        return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)
    if of_class not in classifier.classes:
        raise DataError(f"The model has no class '{of_class}'." + nearest(of_class, classifier.classes))
    return np.full(len(probabilities), classifier.classes.index(of_class), dtype=np.int64)


def _picture_name(index: int, count: int, file: Path, method: str) -> str:
    """Files of several folders may share a name: a number in front tells them apart."""
    number = f"{index + 1:0{len(str(count))}}_" if count > 1 else ""
    return f"{number}{file.stem}_{method}.png"


def _write_picture(path: Path, face: npt.NDArray[np.uint8], face_map: npt.NDArray[np.float32]) -> None:
    import io

    import numpy as np
    from PIL import Image

    from mien.explain.overlay import overlay
    from mien.files import write_bytes

    stream = io.BytesIO()
    pair = [overlay(face, each) for each in (np.zeros_like(face_map), face_map)]
    Image.fromarray(np.concatenate(pair, axis=1)).save(stream, "PNG")
    write_bytes(path, stream.getvalue())


def _write_maps(
    path: Path,
    files: list[Path],
    faces: npt.NDArray[np.uint8],
    targets: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.float64],
    classes: tuple[str, ...],
    maps: dict[str, npt.NDArray[np.float32]],
) -> None:
    import numpy as np

    from mien.files import whole_file

    with whole_file(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(
            stream,
            images=faces,
            source=np.array([str(file) for file in files], dtype=np.str_),
            targets=targets,
            probabilities=probabilities,
            classes=np.array(classes, dtype=np.str_),
            methods=np.array(list(maps), dtype=np.str_),
            maps=np.stack(list(maps.values())),
        )


def _show_table(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("image", "explained", "share", "pictures", box=None, pad_edge=False)
    for row in rows:
        pictures = Text("\n".join(row["files"].values()))
        table.add_row(Text(row["source"]), Text(row["class"]), f"{row['probability']:.0%}", pictures)
    show(table)
