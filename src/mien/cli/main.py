"""The command ``mien``: one file a command, errors in one line."""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated, Any, NoReturn

import typer

from mien.cli import (
    audit,
    compare,
    data,
    demo,
    detectors,
    distill,
    embed,
    evaluate,
    explain,
    export,
    info,
    predict,
    prune,
    recipes,
    report,
    robustness,
    serve,
    soup,
    study,
    sweep,
    teach,
    train,
    video,
    web,
    webcam,
)
from mien.errors import MienError
from mien.version import __version__

app = typer.Typer(
    name="mien",
    help="Train, measure, export and use facial-expression classifiers. They read an expression, not a feeling.",
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
# Short helps are whole in 80 columns, where a docstring's first sentence would be cut.
app.command("demo", short_help="Draw faces, train on them, test, write the report, read some.")(demo.demo)
app.add_typer(data.app, name="data")
app.command("audit", short_help="Say what would make a score wrong: copies, leaks, doubts.")(audit.audit)
app.command("recipes", short_help="List the recipes that come with mien, or print one.")(recipes.recipes)
app.command("train", short_help="Train a classifier, export it, measure it on validation.")(train.train)
app.command("teach", short_help="Ask teachers about every face of train: soft labels.")(teach.teach)
app.command("distill", short_help="Train a student on what teachers say of the train split.")(distill.distill)
app.command("soup", short_help="Average the weights of runs that began with the same ones.")(soup.soup)
app.command("prune", short_help="Keep the channels of a trained network that count most.")(prune.prune)
app.command("study", short_help="Run a study: recipes over seeds, compared on the same faces.")(study.study)
app.command("sweep", short_help="Search good values for a recipe's keys by many short runs.")(sweep.sweep)
app.command("evaluate", short_help="Measure a model, or anybody's scores, on one split.")(evaluate.evaluate)
app.command("report", short_help="Write all that a model's scores say as one page.")(report.report)
app.command("compare", short_help="Compare models on the same rows: differences, intervals, p.")(compare.compare)
app.command("robustness", short_help="Measure a model on noisy, blurred, dark, covered faces.")(robustness.robustness)
app.command("explain", short_help="Map which pixels spoke for an expression.")(explain.explain)
app.command("export", short_help="Write a run as one .onnx file that answers as torch does.")(export.export)
app.add_typer(web.app, name="web")
app.command("info", short_help="Show what a model is: classes, input, origin, scores.")(info.info)
app.command("predict")(predict.predict)
app.add_typer(detectors.app, name="detectors", short_help="Show what finds faces in photos; install a better one.")
app.command("video", short_help="Read the faces of a video: annotated copy, table, page.")(video.video)
app.command("embed", short_help="Write what a model's last layer sees of each face: vectors.")(embed.embed)
app.command("serve", short_help="Answer over HTTP: POST a picture to /v1/predict.")(serve.serve)
app.command("webcam", short_help="Read the webcam in the browser; no picture leaves it.")(webcam.webcam)

# typer gives its usage errors no public name of their own; BadParameter's grandparent is the root of all of them.
_STOPPED = 130
"""The exit code of Ctrl-C. Newer typers turn Ctrl-C into it themselves, without a word."""
_NO_MEMORY = "the memory of this machine does not suffice for this"
_USAGE_ERROR: Any = typer.BadParameter.__mro__[2]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mien {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """Run the command line. Exit code 2 and one line on stderr for anything that a user can mend."""
    for stream in (sys.stdout, sys.stderr):
        # A file name that is no text, or a terminal that knows no block characters, must not end a command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    _check_no_empty_word(sys.argv)
    try:
        code = app(prog_name="mien", standalone_mode=False)
    except MienError as error:
        _fail(str(error), 2)
    except _USAGE_ERROR as error:
        message = " ".join(error.format_message().split())
        command = error.ctx.command_path if error.ctx is not None else "mien"
        _fail(f"{message.removesuffix('.')}{'' if message.endswith('?') else '.'} See: {command} --help", 2)
    except (KeyboardInterrupt, typer.Abort):
        _fail("stopped", _STOPPED)
    except BrokenPipeError:
        # Whoever read our output has gone (`mien ... | head`); that is no error. Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except MemoryError:
        _fail(_NO_MEMORY, 2)
    except RuntimeError as error:
        # What torch raises on a CPU, and on a GPU; it need not be installed.
        if "DefaultCPUAllocator" not in str(error) and type(error).__name__ != "OutOfMemoryError":
            raise
        _fail(f"{_NO_MEMORY}; training needs less with a smaller batch_size or network", 2)
    except ImportError as error:
        # What a library says that finds no room for its code.
        if "failed to map segment" not in str(error):
            raise
        _fail(f"a library cannot be loaded ({error}); is there memory enough, and may it be run from there?", 2)
    except OSError as error:
        _fail(f"{error.filename or 'the file system'}: {error.strerror or error}", 2)
    if code == _STOPPED:
        _fail("stopped", _STOPPED)
    sys.exit(code if isinstance(code, int) else 0)


def _check_no_empty_word(words: list[str]) -> None:
    """Refuse what an unset "$VARIABLE" of a shell leaves: as a path it would be the current folder."""
    for at, word in enumerate(words[1:], start=1):
        if not word:
            before = words[at - 1] if at > 1 else "mien"
            _fail(f"The argument after {before} is empty; was a variable of your shell not set?", 2)
        if word.startswith("--") and word.endswith("="):
            _fail(f"{word} says nothing; was a variable of your shell not set?", 2)


def _fail(message: str, code: int) -> NoReturn:
    # One line, whatever a file name or a library's message holds.
    sys.stderr.write(f"mien: {' '.join(message.split())}\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
