"""The command ``mien``: the table of all commands, of which it loads the one that is run; errors are one line."""

import atexit
import gc
import io
import os
import re
import shlex
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any, NamedTuple, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from mien.base.errors import MienError, StoppedError, TrainingError, needs_extra, printable, sentence
from mien.base.processes import is_main_process, process_count
from mien.cli.options import as_command
from mien.version import __version__


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


app: typer.Typer = typer.Typer(
    cls=CommandGroup,
    name="mien",
    help="Train, evaluate, export and use facial-expression classifiers. They classify an expression, not a feeling.",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

_STOPPED = 130
"""Exit code after Ctrl-C. Newer versions of typer exit with the same code, but without a message."""
_ELSEWHERE = {"fit": "train", "val": "evaluate", "test": "evaluate", "detect": "predict", "classify": "predict"}
"""Commands of other packages, and mien's."""
_NO_MEMORY = "This machine does not have enough memory for this command."
# typer exports no base class of its usage errors; it is BadParameter's grandparent.
_USAGE_ERROR: Any = typer.BadParameter.__mro__[2]


@app.callback()
def _root(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    if version:
        typer.echo(f"mien {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
    elif process_count() > 1:
        if context.invoked_subcommand not in {"train", "distill"}:
            raise TrainingError("Leave out torchrun: only mien train and mien distill share work.", code="options")
        with needs_extra("train", "Training"):
            from mien.training.device import join_processes

        join_processes("cpu" if {"cpu", "--device=cpu"} & {*sys.argv} else "auto")


def main() -> None:
    """Run the command line. A user's mistake gives one line on stderr with its code, and exit code 2."""
    _open_missing_streams()
    for stream in (sys.stdout, sys.stderr):
        # Odd file names, or a terminal without block characters, must not cause an error.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    _check_no_empty_word(sys.argv[1:])
    # Shells expand ~ only at the start of a word, not in --out=~/runs.
    home = os.environ.get("HOME", "~")
    sys.argv[1:] = [re.sub(r"(?:^|(?<==))~(?=/|$)", lambda _: home, word) for word in sys.argv[1:]]
    # At exit Python would search all objects for cycles, a tenth of `mien predict photo.jpg`. The system frees memory.
    atexit.register(gc.freeze)
    # pydantic would search all packages for plugins, which takes a twentieth of `mien predict photo.jpg`.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        code = app(prog_name="mien", standalone_mode=False)
    except MienError as error:
        _fail(error.message, error.code, _STOPPED if isinstance(error, StoppedError) else 2)
    except _USAGE_ERROR as error:
        command = error.ctx.command_path if error.ctx is not None else "mien"
        _fail(f"{_usage_text(error)} See: {command} --help", "usage")
    except (KeyboardInterrupt, typer.Abort):
        _fail("Stopped.", "stopped", _STOPPED)
    except (MemoryError, RuntimeError, OSError) as error:
        _fail_of_system(error)
    if code == _STOPPED:
        _fail("Stopped.", "stopped", _STOPPED)
    status = code if isinstance(code, int) else 0
    if not is_main_process():
        # Threads of torch's process group may outlive it, and end the process with SIGABRT while Python exits.
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _usage_text(error: Any) -> str:
    """Return the message of one of typer's usage errors, with a hint where data and keys of recipes are given."""
    # Imported here, because pydantic takes as long to load as everything else for --help.
    from mien.base.recipe import key_of

    message = sentence(" ".join(error.format_message().split()).replace("Value error, ", ""))
    for theirs, ours in _ELSEWHERE.items():
        if message == f"No such command '{theirs}'.":
            return f"{message} Did you mean '{ours}'?"
    name = getattr(error, "option_name", "").lstrip("-")
    takes = {of for each in error.ctx.command.params for of in each.opts} if error.ctx is not None else set()
    if name == "data" and "data" in takes:
        return "There is no option --data: give the data as an argument."
    if "--set" in takes and (key := key_of(name.replace("-", "_"))):
        return f"There is no option --{name}. Did you mean --set {key}=VALUE?"
    needs_data = message.startswith("Got unexpected") and "--data" in takes and "--data" not in sys.argv
    return f"{message} Data is given with --data." if needs_data else message


def _open_missing_streams() -> None:
    """Open the null device as standard streams if there are none (a service, a daemon, ``2>&-``).

    Otherwise the next opened files would get the descriptors 0 to 2, and receive C libraries' error messages.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - as long as the process


def _fail_of_system(error: Exception) -> NoReturn:
    """End with one line for errors of the machine, such as memory or file system. Raises all other errors again."""
    if isinstance(error, MemoryError):
        _fail(_NO_MEMORY, "memory")
    # torch's errors on a CPU, and on a GPU; torch may not be installed.
    if "DefaultCPUAllocator" in str(error) or type(error).__name__ == "OutOfMemoryError":
        _fail(f"{_NO_MEMORY} Training needs less with a smaller batch size or network.", "memory")
    if isinstance(error, OSError):
        _fail(f"{error.filename or 'The file system'}: {error.strerror or error}", "file-system")
    if isinstance(error, RuntimeError) and process_count() > 1:
        reason = "" if any(name in str(error) for name in ("gloo", "NCCL")) else f" ({error})"
        _fail(f"Another process of this training ended or cannot be reached{reason}.", "process-lost")
    raise error


def _check_no_empty_word(words: list[str]) -> None:
    """Refuse an empty argument, as from an unset "$VARIABLE": as a path it would be the current folder."""
    if any(not word or (word.startswith("--") and word.endswith("=")) for word in words):
        _fail(f"An argument is empty: mien {shlex.join(words)}. Is a variable of your shell not set?", "usage")


def _fail(message: str, code: str, status: int = 2) -> NoReturn:
    # Print one line, even if a file name or a library's message has several.
    sys.stderr.write(f"mien: {printable(' '.join(message.split()))} [{code}]\n")
    sys.exit(status)
