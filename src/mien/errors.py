"""Everything mien raises on purpose.

    MienError
    ├── DataError          images, labels or tables that cannot be read or used
    ├── RecipeError        a recipe with an unknown key, an impossible value, a name that does not exist
    ├── StudyError         a study that does not hang together, or whose results are damaged
    ├── ModelError         a model file that is missing, damaged, foreign or from a newer mien
    ├── RunError           a run folder that exists already, is incomplete, or cannot be written
    ├── TrainingError      training that cannot go on (a loss that is not a number)
    │   └── StoppedError   training that was stopped before there was anything to keep
    ├── ServeError         a service that cannot start: a port in use, a token that cannot be read
    └── MissingExtraError  an optional part of mien that is not installed

A message says what was expected, what was found, where, and what to do. The command line prints it as
one line and exits with 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class MienError(Exception):
    """Root of all errors that mien raises on purpose."""


class DataError(MienError):
    """Images, labels or tables that cannot be read or used."""


class RecipeError(MienError):
    """A recipe with an unknown key, an impossible value, or a name that does not exist."""


class StudyError(MienError):
    """A study that does not hang together, or whose stored results are damaged."""


class ModelError(MienError):
    """A model file that is missing, damaged, foreign, or written by a newer mien."""


class RunError(MienError):
    """A run folder that exists already, is incomplete, or cannot be written."""


class TrainingError(MienError):
    """Training that cannot go on.

    Attributes:
        reason: what happened, without the advice that follows it for whoever began this run alone.
    """

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(f"{reason} {advice}".rstrip())
        self.reason = reason


class StoppedError(TrainingError):
    """Training that was stopped before there was anything to keep."""


class ServeError(MienError):
    """A service that cannot start."""


class MissingExtraError(MienError):
    """An optional part of mien that is not installed."""


@contextmanager
def needs_extra(extra: str, purpose: str) -> Iterator[None]:
    """Turn a failed import inside the block into one line that names the extra to install.

    Args:
        extra: name of the extra in pyproject.toml, e.g. ``"train"``.
        purpose: what the import is for, as the subject of a sentence, e.g. ``"Training"``.

    Raises:
        MissingExtraError: a package is not installed. A missing module of mien's own is a bug and passes through.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in {"", "mien"}:
            raise
        raise MissingExtraError(
            f"{purpose} needs the package {package}, which is not installed. "
            f"Install it with: pip install 'mien[{extra}]'"
        ) from None


def sentence(words: str) -> str:
    """Words that were put together from others, with one mark at their end.

    >>> sentence("there is none"), sentence("there is none. Did you mean 'x'?")
    ('there is none.', "there is none. Did you mean 'x'?")
    """
    return words if words.endswith((".", "?")) else f"{words}."


def nearest(name: str, known: Iterable[str], table: str = "") -> str:
    """Say what ``name`` may have been meant to be, with the table before it that all of them are in.

    Returns ``" Did you mean 'x'?"`` where something close is known, otherwise the list of what is known.

    >>> nearest("learning_rte", ["learning_rate", "momentum"])
    " Did you mean 'learning_rate'?"
    >>> nearest("rate", ["lr", "name"], "optim.")
    ' Known: optim.lr, optim.name.'
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f" Did you mean '{table}{close[0]}'?"
    return f" Known: {', '.join(table + each for each in known)}."
