"""Arguments that the functions share: data and models, as values or as paths."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from mien.base.errors import MienWarning
from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.data.face_table import ReadOptions
from mien.data.read import ReadResult, read_data, untrained_classes
from mien.inference.find_model import find_run_of_model
from mien.inference.predictor import Predictor, load


@runtime_checkable
class DataSource(Protocol):
    """A place of data that knows how to read it: the options ``--data``, ``--map``, ... of the command line."""

    @property
    def path(self) -> Path:
        """Where the data is."""
        ...

    def read(self, size_px: int, channels: int = 1, *, again: bool = False) -> ReadResult:
        """The data with images of this side, grey or RGB. ``again``: print nothing of data that was read before."""
        ...

    def environment(self) -> dict[str, Any]:
        """Data, command and machine, for what is written."""
        ...


Data: TypeAlias = Dataset | ReadResult | DataSource | str | os.PathLike[str]
"""A data set, or where it is."""
Model: TypeAlias = Predictor | str | os.PathLike[str]
"""A loaded model, or what :func:`mien.load` takes: a name, a run folder, a ``.onnx`` file."""


def read(data: Data, size_px: int, channels: int = 1, *, again: bool = False) -> ReadResult:
    """The data at a model's image size, in pixels, and with its channels; ``again`` where it was read before.

    Raises:
        DataError: as :func:`mien.load_dataset`; something that is no data (``data-type``).
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
        if each.code == "class-not-trained":
            warnings.warn(MienWarning(str(each), code=each.code), stacklevel=3)
    return result


def environment(data: Data) -> dict[str, Any]:
    """Return the metadata of the data that is written: its name, for a command also its options and the machine."""
    return data.environment() if isinstance(data, DataSource) else {"data": data_name(data)}


def data_name(data: Data) -> str:
    """The data's path, for the metadata of what is written."""
    if isinstance(data, Dataset | ReadResult):
        return "arrays in memory"
    return str(data if isinstance(data, str | os.PathLike) else data.path)


def for_labels(model: Model) -> Predictor:
    """The model, loaded, answering by the output that learned labels: what all metrics are of."""
    return (model if isinstance(model, Predictor) else load(model)).for_labels()


def run_of(model: Model) -> RunFolder | None:
    """The run folder that a model is in; None for a lone model file."""
    return find_run_of_model(model.path if isinstance(model, Predictor) else model)
