"""Argument types shared by the functions: data and models, as objects or paths."""

import os
import warnings
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from mien.base.errors import MienWarning
from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.data.read import ReadResult, read_data, untrained_classes
from mien.data.table import ReadOptions
from mien.inference.find_model import find_run_of_model
from mien.inference.predictor import Predictor, load


@runtime_checkable
class DataSource(Protocol):
    """An object that can load data, such as the options ``--data``, ``--map``, ... of the command line."""

    @property
    def path(self) -> Path:
        """Path of the data."""
        ...

    def read(self, size_px: int, channels: int = 1, *, again: bool = False) -> ReadResult:
        """Load the data with images of this side, grey or RGB. ``again`` prints nothing about data loaded before."""
        ...

    def environment(self) -> dict[str, Any]:
        """Return data, command and machine as metadata for written files."""
        ...

    def metadata(self) -> dict[str, str]:
        """Return paths and digests of files beside the data, such as a list of changes."""
        ...


Data: TypeAlias = Dataset | ReadResult | DataSource | str | os.PathLike[str]
"""A data set, or its path."""
_WARNED = {"class-not-trained", "images-repeated", "ratings-range", "values-missing"}
"""Notices about data that change what a model learns or how it is measured."""

Model: TypeAlias = Predictor | str | os.PathLike[str]
"""A loaded model, or an argument of :func:`mien.load`: a name, a run folder, a ``.onnx`` file."""


def read(data: Data, size_px: int, channels: int = 1, *, again: bool = False) -> ReadResult:
    """Load data at a model's image size, in pixels, and with its channels; ``again`` says that it was loaded before.

    Raises as :func:`mien.load_dataset`, and DataError if the argument is not data (``data-type``).
    """
    if isinstance(data, ReadResult):
        return data
    if isinstance(data, DataSource):
        return data.read(size_px, channels, again=again)
    if isinstance(data, Dataset):
        result = ReadResult(data, "arrays", "as given", (), tuple(untrained_classes(data)), cached=False)
    else:
        result = read_data(data, ReadOptions(size_px, channels))
    for each in () if again else result.notes:
        if each.code in _WARNED:
            warnings.warn(MienWarning(str(each), code=each.code), stacklevel=3)
    return result


def environment(data: Data) -> dict[str, Any]:
    """Return metadata of the data for written files: its name, and in a command also options and machine."""
    return data.environment() if isinstance(data, DataSource) else {"data": data_name(data)}


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
