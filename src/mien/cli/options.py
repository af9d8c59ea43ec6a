"""Arguments and options that mean the same in every command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mien.base.progress import set_quiet

DATA_HELP = (
    "Labelled images: fer2013.csv, a CSV of path,label, a folder of class folders, a parquet file, or hf://OWNER/NAME."
)
MODEL_HELP = (
    "A run folder, a .onnx file, hf://OWNER/NAME, or a built-in model: default, fast, best, or one of them with -int8."
)


class Device(StrEnum):
    """Where to train."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class Engine(StrEnum):
    """What runs work side by side."""

    LOCAL = "local"
    RAY = "ray"


def _set_quiet(quiet: bool) -> bool:
    set_quiet(quiet)
    return quiet


# What a command is about.
ModelArgument = Annotated[str, typer.Argument(help=MODEL_HELP, metavar="MODEL")]
ModelsArgument = Annotated[list[str], typer.Argument(help=MODEL_HELP, metavar="MODEL")]
RecipeArgument = Annotated[
    str, typer.Argument(help="The name of a recipe (see `mien info --recipes`), or a .toml file.", metavar="RECIPE")
]
DataArgument = Annotated[Path, typer.Argument(help=DATA_HELP, metavar="PATH")]

# What a command reads.
ModelOption = Annotated[str, typer.Option("--model", help=MODEL_HELP, metavar="MODEL")]
OptionalModelOption = Annotated[str | None, typer.Option("--model", help=MODEL_HELP, metavar="MODEL")]
DataOption = Annotated[Path, typer.Option("--data", help=DATA_HELP, metavar="PATH")]
OptionalDataOption = Annotated[Path | None, typer.Option("--data", help=DATA_HELP, metavar="PATH")]
MapOption = Annotated[
    str | None, typer.Option("--map", help="Rename classes of the data: 'joy=happy,0=angry'.", metavar="A=B,...")
]
SkipBadOption = Annotated[bool, typer.Option("--skip-bad", help="Skip images that cannot be read, and list them.")]
CleanOption = Annotated[
    Path | None,
    typer.Option(
        "--clean", help="Drop and relabel samples as listed in this clean.toml from `mien audit`.", metavar="FILE"
    ),
]
VotesOption = Annotated[
    Path | None,
    typer.Option("--votes", help="The file fer2013new.csv of FER+. Its votes are added to FER2013.", metavar="FILE"),
]
GroupOption = Annotated[
    str | None,
    typer.Option(
        "--group",
        help="Group the samples, for example by person or video. Splits and folds never divide a group. COLUMN is a "
        "column of the data; with class folders, folder1 is the folder inside the class folder. Or give a regular "
        "expression for file names: '(p[0-9]+)_' groups by the part in parentheses.",
        metavar="COLUMN",
    ),
]
SplitOfPredictionsOption = Annotated[
    str | None,
    typer.Option("--split", help="Which predictions of DIR to use. The default is validation.", metavar="SPLIT"),
]

CropsOption = Annotated[bool, typer.Option("--crops", help="Treat each image as a face crop; run no detection.")]

# How a model is used.
OutputOption = Annotated[
    str | None,
    typer.Option(
        "--output",
        help="Use this output of the model, such as fer2013. `mien info MODEL` lists the outputs. The default is the "
        "output that was trained on votes, if there is one.",
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
ThresholdOption = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        help="With two classes: predict the positive (or second) class if its probability is at least T. The default "
        "is 0.5.",
        metavar="T",
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
    Engine,
    typer.Option(
        "--engine", help="local: in this process. ray: with Ray, on this machine or on the cluster at RAY_ADDRESS."
    ),
]

# How training is changed.
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a key of the recipe: optim.lr=0.01. Can be repeated.", metavar="KEY=VALUE"),
]
EpochsOption = Annotated[
    int | None, typer.Option("--epochs", min=1, help="Train for N epochs. Sets epochs of the recipe.", metavar="N")
]
BatchSizeOption = Annotated[
    int | None,
    typer.Option(
        "--batch-size", min=1, help="Number of images in a batch. Sets batch_size of the recipe.", metavar="N"
    ),
]
LrOption = Annotated[
    float | None, typer.Option("--lr", help="Peak learning rate. Sets optim.lr of the recipe.", metavar="X")
]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Random seed. Sets seed of the recipe.", metavar="N")]
DeviceOption = Annotated[Device, typer.Option("--device", help="Where to train. auto uses a GPU if there is one.")]
RunOutOption = Annotated[
    Path | None, typer.Option("--out", help="The run folder to create. The default is runs/RECIPE.", metavar="DIR")
]
ResumeOption = Annotated[
    bool,
    typer.Option(
        "--resume", help="Resume the run in the folder of --out. If there is none, a note says so and a new run starts."
    ),
]
FromOption = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="Fine-tune: start with the weights, network and input size of this run or built-in model.",
        metavar="RUN",
    ),
]
FoldsOption = Annotated[
    int | None,
    typer.Option(
        "--folds",
        min=2,
        help="Cross-validate: train K models, each on all folds except one. Groups (--group), or else near-copies, "
        "stay in one fold. K is at most the number of groups.",
        metavar="K",
    ),
]
FindLrOption = Annotated[
    bool,
    typer.Option(
        "--find-lr", help="Train for 100 steps with a rising learning rate, print the curve, and suggest a rate."
    ),
]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Time a few steps; print steps, parameters, memory and time. Train nothing."),
]
LogOption = Annotated[
    str | None,
    typer.Option("--log", help="Also log each epoch to tensorboard, wandb or mlflow.", metavar="LOGGER"),
]

# How results are written.
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace files that already exist.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print no progress and no notices.", callback=_set_quiet)
]


def recipe_changes(
    changes: Sequence[str] | None,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    seed: int | None = None,
    classes: str | None = None,
) -> list[str]:
    """The changes of ``--set`` and, after them, those of the plain options, as ``"key=value"``.

    >>> recipe_changes(["optim.momentum=0.8"], epochs=5, lr=0.01)
    ['optim.momentum=0.8', 'epochs=5', 'optim.lr=0.01']
    """
    plain = {"epochs": epochs, "batch_size": batch_size, "optim.lr": lr, "seed": seed, "classes": classes}
    return [*(changes or ()), *(f"{key}={value}" for key, value in plain.items() if value is not None)]


@dataclass(frozen=True)
class PlainSettings:
    """The keys of a recipe that have options of their own."""

    epochs: EpochsOption = None
    batch_size: BatchSizeOption = None
    lr: LrOption = None
    seed: SeedOption = None

    def changes(self, before: Sequence[str] | None = None, classes: str | None = None) -> list[str]:
        """As :func:`recipe_changes`, after those of ``before``."""
        return recipe_changes(before, self.epochs, self.batch_size, self.lr, self.seed, classes)
