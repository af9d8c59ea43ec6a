"""Oracle: typer, which makes the same options of a function that names them one by one."""

from dataclasses import dataclass
from typing import Annotated

import typer
from typer.testing import CliRunner

from mien.cli.option_groups import with_option_groups

Word = Annotated[str, typer.Option("--word", help="A word.")]
Count = Annotated[int, typer.Option("--count", min=1)]


@dataclass(frozen=True)
class Inner:
    word: Word
    count: Count = 2


@dataclass(frozen=True)
class Outer:
    inner: Inner
    loud: Annotated[bool, typer.Option("--loud")] = False


def _answer(command, *words):
    app = typer.Typer(rich_markup_mode=None)
    app.command("it")(command)
    return CliRunner().invoke(app, words)


def test_a_dataclass_is_the_options_that_its_fields_name():
    def grouped(outer: Outer, last: Annotated[str, typer.Option("--last")] = "z") -> None:
        """Do it."""
        typer.echo((outer.inner.word, outer.inner.count, outer.loud, last))

    def plain(
        word: Word,
        count: Count = 2,
        loud: Annotated[bool, typer.Option("--loud")] = False,
        last: Annotated[str, typer.Option("--last")] = "z",
    ) -> None:
        """Do it."""
        typer.echo((word, count, loud, last))

    for words in (["--help"], ["--word", "a"], ["--word", "a", "--count", "3", "--loud", "--last", "b"], [], ["--x"]):
        one, other = _answer(with_option_groups(grouped), *words), _answer(plain, *words)
        assert (one.exit_code, one.output) == (other.exit_code, other.output)
