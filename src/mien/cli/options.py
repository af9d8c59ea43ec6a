"""Arguments and options with the same meaning in every command."""

import atexit
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

import typer

from mien.base.errors import DataError

DATA_HELP = "Labelled images: fer2013.csv, a CSV of path,label, a folder of class folders, or a parquet file."
MODEL_HELP = "A run folder, a .onnx file, or a built-in model: default, fast, tiny, best, or one of them with -int8."


def option(help: str, metavar: str, **limits: Any) -> Any:
    """Describe an option with a value. Its name is that of the parameter; ``limits`` are further settings of typer."""
    return typer.Option(help=help, metavar=metavar, **limits)


# Main arguments of a command.
ModelArgument = Annotated[str, typer.Argument(help=MODEL_HELP, metavar="MODEL")]
DataArgument = Annotated[Path, typer.Argument(help=DATA_HELP, metavar="PATH")]

# Input of a command.
ModelOption = Annotated[str, typer.Option("--model", help=MODEL_HELP, metavar="MODEL")]
DataOption = Annotated[Path, typer.Option("--data", help=DATA_HELP, metavar="PATH")]
OptionalDataOption = Annotated[Path | None, typer.Option("--data", help=DATA_HELP, metavar="PATH")]
SplitOfPredictionsOption = Annotated[
    str | None,
    typer.Option(
        "--split",
        help="Which predictions of DIR to use: train, validation (the default), test or all.",
        metavar="SPLIT",
    ),
]

CropsOption = Annotated[bool, typer.Option("--crops", help="Treat each image as a face crop; run no detection.")]

# Use of the model.
OutputOption = Annotated[
    str | None,
    typer.Option(
        "--output",
        help="Use this output of the model, such as fer2013. `mien info MODEL` lists them, the default first.",
        metavar="NAME",
    ),
]
ClassesOption = Annotated[
    str | None,
    typer.Option(
        "--classes",
        help="Merge classes by a label scheme: all, seven, six, five, three, binary, binary-with-disgust, or "
        "'positive=happy+surprise,negative=angry+fear+sad'.",
        metavar="SCHEME",
    ),
]
ProviderOption = Annotated[
    str | None,
    typer.Option(
        "--provider",
        help="Run the model with this execution provider of ONNX Runtime: cpu, cuda, coreml, openvino, directml, ...",
        metavar="NAME",
    ),
]
TTA_HELP = "Test-time augmentation: average over 1, 2 (with the mirror image) or 10 (with corner crops) views."

EngineOption = Annotated[
    Literal["local", "ray"],
    typer.Option(
        "--engine", help="local: in this process. ray: with Ray, on this machine or on the cluster at RAY_ADDRESS."
    ),
]

# Training.
DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda", "mps"],
    typer.Option("--device", help="Where to train. auto uses a GPU if there is one."),
]


def _stdin_as_file(images: list[Any]) -> list[Any]:
    """Replace ``-`` by a temporary file with the content of standard input."""
    if not any(str(name) == "-" for name in images):
        return images
    if sys.stdin.isatty():
        raise DataError("- is an image from standard input: cat photo.jpg | mien predict -", code="stdin-terminal")
    folder = TemporaryDirectory(prefix="mien-")
    atexit.register(folder.cleanup)
    file = Path(folder.name) / "stdin"
    file.write_bytes(sys.stdin.buffer.read())
    return [type(name)(file) if str(name) == "-" else name for name in images]


IMAGES = typer.Argument(
    help="Images, or folders of images; - is an image from standard input.", metavar="IMAGE", callback=_stdin_as_file
)

# Output.
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace files that already exist.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@dataclass(frozen=True)
class PlainSettings:
    """Keys of a recipe with their own options."""

    epochs: Annotated[int | None, option("Train for N epochs. Sets epochs of the recipe.", "N", min=1)] = None
    batch_size: Annotated[
        int | None, option("Number of images in a batch. Sets batch_size of the recipe.", "N", min=1)
    ] = None
    lr: Annotated[float | None, option("Peak learning rate. Sets optim.lr of the recipe.", "X")] = None
    seed: Annotated[int | None, option("Random seed. Sets seed of the recipe.", "N")] = None

    def changes(self, before: Sequence[str] | None = None, classes: str | None = None) -> list[str]:
        """Return the changes of ``--set`` and then those of these options, as ``"key=value"``.

        >>> PlainSettings(epochs=5, lr=0.01).changes(["optim.momentum=0.8"])
        ['optim.momentum=0.8', 'epochs=5', 'optim.lr=0.01']
        """
        plain = {"optim.lr" if key == "lr" else key: value for key, value in vars(self).items()} | {"classes": classes}
        return [*(before or ()), *(f"{key}={value}" for key, value in plain.items() if value is not None)]
