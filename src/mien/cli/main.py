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
app.command("demo")(demo.demo)
app.add_typer(data.app, name="data")
app.command("audit")(audit.audit)
app.command("recipes")(recipes.recipes)
app.command("train")(train.train)
app.command("teach")(teach.teach)
app.command("distill")(distill.distill)
app.command("soup")(soup.soup)
app.command("prune")(prune.prune)
app.command("study")(study.study)
app.command("sweep")(sweep.sweep)
app.command("evaluate")(evaluate.evaluate)
app.command("report")(report.report)
app.command("compare")(compare.compare)
app.command("robustness")(robustness.robustness)
app.command("explain")(explain.explain)
app.command("export")(export.export)
app.add_typer(web.app, name="web")
app.command("info")(info.info)
app.command("predict")(predict.predict)
app.add_typer(detectors.app, name="detectors")
app.command("video")(video.video)
app.command("embed")(embed.embed)
app.command("serve")(serve.serve)
app.command("webcam")(webcam.webcam)

# typer gives its usage errors no public name of their own; BadParameter's grandparent is the root of all of them.
_STOPPED = 130
"""The exit code of Ctrl-C. Newer typers turn Ctrl-C into it themselves, without a word."""
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
