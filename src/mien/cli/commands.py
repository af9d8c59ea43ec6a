"""Table of all commands, and loading of a command's module when it is invoked."""

import gc
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from mien.cli.options import as_command


class Command(NamedTuple):
    """Heading of ``mien --help`` for a command, its module in ``mien.cli``, and a help short enough for 80 columns."""

    group: str
    module: str
    help: str


# The module has a function with the name of the command, or a :class:`Subcommands`.
COMMANDS: dict[str, Command] = {
    "predict": Command("Use", "predict", "Detect faces in images and classify their expressions."),
    "video": Command("Use", "video", "Classify the faces of a video over time."),
    "webcam": Command("Use", "serve", "Classify your webcam's images in the browser."),
    "serve": Command("Use", "serve", "Serve a model over HTTP."),
    "evaluate": Command("Measure", "measure", "Evaluate models or predictions on one split."),
    "report": Command("Measure", "measure", "Write a full report on a model's predictions."),
    "compare": Command("Measure", "measure", "Compare models on the same samples."),
    "check": Command("Measure", "measure", "Check a claimed accuracy by its predictions."),
    "robustness": Command("Measure", "measure", "Measure accuracy on corrupted images."),
    "explain": Command("Measure", "measure", "Map which pixels a prediction depends on."),
    "audit": Command("Measure", "measure", "Audit a data set: duplicates, leakage, bad labels."),
    "train": Command("Train", "train", "Train a classifier, export it and evaluate it."),
    "distill": Command("Train", "train", "Train a student on the predictions of teachers."),
    "sweep": Command("Train", "train", "Search for better hyperparameters."),
    "study": Command("Train", "train", "Compare recipes over several seeds."),
    "data": Command("Data", "data", "Inspect, show, convert and draw data sets."),
    "label": Command("Data", "serve", "Let people vote on the expressions of faces."),
    "demo": Command("More", "more", "Run the whole workflow on synthetic faces."),
    "doctor": Command("More", "more", "Show what is installed, used and missing."),
    "info": Command("More", "more", "Show the metadata of a model, or recipes."),
    "export": Command("More", "more", "Export a run to ONNX, in fp32, fp16 or int8."),
    "web": Command("More", "serve", "Build the browser page."),
}


def load_command(name: str) -> Any:
    """Import the module of a command in the table and return typer's command."""
    function = getattr(import_module(f"mien.cli.{COMMANDS[name].module}"), name)
    if isinstance(function, typer.Typer):
        group: Any = typer.main.get_command(function)
        for command in group.commands.values():
            _without_types(command)
        return group
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(name)(as_command(function))
    return _without_types(typer.main.get_command(single))


def _without_types(command: Any) -> Any:
    """Remove the Python types of arguments (``<list[Path]>``) from a command's help."""
    for each in command.params:
        if each.param_type_name == "argument":
            each.display_type_rich = lambda ctx: None
    return command


class LazyCommand(TyperCommand):
    """Stand-in for a command in help and completion. The real command is loaded when it is invoked."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Load the real command and run it."""
        # Imports make no garbage. To look for it takes a twentieth of `mien predict photo.jpg` and of a short training.
        gc.set_threshold(100_000)
        return load_command(str(self.name)).make_context(info_name, args, parent=parent, **extra)


class CommandGroup(TyperGroup):
    """A click group that lists all commands of the table, but imports only the invoked one."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, command in COMMANDS.items():
            self.add_command(LazyCommand(name, short_help=command.help))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands under their headings."""
        width = max(len(name) for name in COMMANDS)
        for group in dict.fromkeys(command.group for command in COMMANDS.values()):
            with formatter.section(group):
                formatter.write_dl(
                    [(name.ljust(width), each.help) for name, each in COMMANDS.items() if each.group == group]
                )


class Subcommands(typer.Typer):
    """The typer app of a command with subcommands. Without one, it prints its help."""

    def __init__(self, help: str) -> None:
        super().__init__(add_completion=False, rich_markup_mode=None)

        @self.callback(help=help, invoke_without_command=True)
        def show_help(context: typer.Context) -> None:
            if context.invoked_subcommand is None:
                typer.echo(context.get_help())

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        """Decorate a subcommand, which may have groups of options."""
        register = super().command(name, **settings)
        return lambda function: register(as_command(function))
