"""Argument types shared by the functions: data and models, as objects or paths; lists of built-in ones."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from mien.base.model_file import INT8, Manifest, read_manifest
from mien.base.run_folder import SHIPPED, RunFolder, find_model, find_run_of_model
from mien.data.dataset import Dataset
from mien.data.read import ReadResult, read_data, untrained_classes
from mien.data.table import ReadOptions
from mien.inference.predictor import Predictor, load


@dataclass(frozen=True)
class Source:
    """Data at a path, with the options of a command for reading it.

    Attributes:
        path: path of the data.
        options: how to read it.
        show: called with the data after it was read for the first time.
        files: paths and digests of files beside the data, such as a list of changes.
        about: command and machine, as metadata for written files.
    """

    path: Path
    options: ReadOptions
    show: Callable[[ReadResult], None]
    files: Mapping[str, str]
    about: Mapping[str, str]


Data: TypeAlias = Dataset | ReadResult | Source | str | os.PathLike[str]
"""A data set, or its path."""
_WARNED = {"class-not-trained", "images-repeated", "ratings-range", "values-missing"}
"""Notices about data that change what a model learns or how it is measured."""

Model: TypeAlias = Predictor | str | os.PathLike[str]
"""A loaded model, or an argument of :func:`mien.load`: a name, a run folder, a ``.onnx`` file."""


def read(data: Data, size_px: int, channels: int = 1, *, again: bool = False) -> ReadResult:
    """Load data at a model's image size, in pixels, and with its channels; ``again`` says that it was loaded before.

    Raises as :func:`mien.load_dataset`, and DataError if the argument is not data (``data-unknown``).
    """
    if isinstance(data, ReadResult):
        return data
    if isinstance(data, Source):
        result = read_data(data.path, replace(data.options, size_px=size_px, channels=channels))
        if not again:
            data.show(result)
        return result
    if isinstance(data, Dataset):
        result = ReadResult(data, "arrays", "as given", (), tuple(untrained_classes(data)), cached=False)
    else:
        result = read_data(data, ReadOptions(size_px, channels))
    for each in () if again else result.notes:
        if each.code in _WARNED:
            each.warn(stacklevel=3)
    return result


def environment(data: Data) -> dict[str, Any]:
    """Return metadata of the data for written files: its name, and in a command also options and machine."""
    return {"data": data_name(data), **({**data.about, **data.files} if isinstance(data, Source) else {})}


def data_name(data: Data) -> str:
    """Return the data's path, for metadata in written files."""
    if isinstance(data, Dataset | ReadResult):
        return "arrays in memory"
    return str(getattr(data, "path", data))


def for_labels(model: Model) -> Predictor:
    """Load the model if necessary, with the label's output in use, on which all metrics are computed."""
    return (model if isinstance(model, Predictor) else load(model)).for_labels()


def run_of(model: Model) -> RunFolder | None:
    """Return the run folder of a model; None for a single model file."""
    return find_run_of_model(model.path if isinstance(model, Predictor) else model)


@dataclass(frozen=True)
class ModelInfo:
    """A built-in model.

    Attributes:
        name: name for :func:`mien.load`.
        path: path of its ``.onnx`` file.
    """

    name: str
    path: Path

    @cached_property
    def manifest(self) -> Manifest:
        """Classes, input, recipe, licence and metrics of the model."""
        return read_manifest(self.path)

    def __str__(self) -> str:
        return f"{self.name}: {self.path.stat().st_size / 1e6:.2f} MB, {', '.join(self.manifest.classes)}"


def list_models() -> list[ModelInfo]:
    """List the built-in models, each with its name, path and manifest."""
    return [ModelInfo(name, find_model(name)) for name in [name + form for name in SHIPPED for form in ("", INT8)]]
