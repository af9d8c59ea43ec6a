"""Errors that mien raises on purpose, notices and warnings.

A :class:`Notice` is information shown beside a result. A :class:`MienWarning` warns about a problem in Python code.

A message says what was expected, what was found, where, and what to do. It names an argument as the command line does:
``--skip-bad`` is ``skip_bad`` in Python. The command line prints an error as one line and exits with 2. A notice is
printed as a line that begins with ``note:``. A code names the kind of error or notice and never changes. Programs and
tests should match the code, not the sentence.
"""

import difflib
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self


class MienError(Exception):
    """Base class of all errors that mien raises on purpose.

    Args:
        message: what was expected, what was found, where, and what to do.
        code: kind of mistake, as words joined by hyphens: ``split-missing``. A code never changes between versions.

    Attributes:
        code: the given code, or the default of the class, such as ``data`` for :class:`DataError`.
        message: the sentence, as in ``str(error)``.

    >>> DataError("fer2013.csv line 812: pixel 300 is outside 0..255.", code="pixels").code
    'pixels'
    """

    code: str = "error"

    def __init_subclass__(cls, code: str = "") -> None:
        cls.code = code or cls.code

    def __init__(self, message: str, *, code: str | None = None) -> None:
        # File names and table cells may contain line breaks.
        self.message: str = " ".join(message.splitlines())
        super().__init__(self.message)
        if code is not None:
            self.code = code


class DataError(MienError, code="data"):
    """Images, labels or tables that cannot be read or used."""


class RecipeError(MienError, code="recipe"):
    """A recipe with an unknown key, an impossible value, or an unknown name."""


class StudyError(MienError, code="study"):
    """A study with contradicting settings or damaged results."""


class ModelError(MienError, code="model"):
    """A model file that is missing, damaged, not made by mien, or written by a newer mien."""


class RunError(MienError, code="run"):
    """A run folder that exists already, is incomplete, or cannot be written."""


class TrainingError(MienError, code="training"):
    """Training that cannot continue.

    Attributes:
        reason: what happened, without the advice. Advice is for a run outside a study or sweep.
    """

    def __init__(self, reason: str, advice: str = "", *, code: str | None = None) -> None:
        super().__init__(f"{reason} {advice}".rstrip(), code=code)
        self.reason: str = reason


class StoppedError(TrainingError, code="stopped"):
    """Training that was stopped before it finished an epoch. The message says which files are kept."""


class ServeError(MienError, code="serve"):
    """A service that cannot start."""


class MissingExtraError(MienError, code="missing-extra"):
    """An optional part of mien that is not installed."""


class Notice(str):
    """A sentence to show beside a result. A notice has a ``code``, like an error.

    >>> Notice("validation has only 9 samples.", code="validation-small").line
    'note: validation has only 9 samples. [validation-small]'
    """

    code: str

    def __new__(cls, words: str, *, code: str) -> Self:
        """Create the notice from its sentence, ``words``."""
        notice = super().__new__(cls, words)
        notice.code = code
        return notice

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, str]]:
        """Return the arguments with which copy and pickle create the notice again."""
        return (str(self),), {"code": self.code}

    @property
    def line(self) -> "Notice":
        """The notice as the command line prints it."""
        return Notice(f"note: {self} [{self.code}]", code=self.code)

    def warn(self, stacklevel: int = 2) -> None:
        """Give the notice as a :class:`MienWarning`, by default of the line that called the caller."""
        warnings.warn(MienWarning(str(self), code=self.code), stacklevel=stacklevel + 1)


class MienWarning(UserWarning):
    """Warning of an argument without effect or a misleading metric. Its code never changes, like an error's."""

    def __init__(self, message: str, *, code: str = "warning") -> None:
        super().__init__(message)
        self.code: str = code


@contextmanager
def needs_extra(extra: str, purpose: str) -> Iterator[None]:
    """Turn a failed import in the block into MissingExtraError, whose subject is ``purpose``, e.g. ``"Training"``. A
    missing module of mien itself is a bug and raises as usual.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in {"", "mien"}:
            raise
        raise MissingExtraError(f"{purpose} needs {package}. Install it with: pip install 'mien[{extra}]'") from None


def without_password(text: str) -> str:
    """Return a text with passwords and keys in its addresses replaced by ``***``, so that it may be shown and stored.

    Examples of addresses: ``postgresql://user:password@host``, ``s3://bucket?secret_key=S``. An S3 key may contain
    slashes. Text that begins like a port number is not treated as a key.
    """
    # pathlib replaces the two slashes of an address by one.
    text = re.sub(r"(\w://?[^\s:/@]*):(?:[^\s/]*|(?!\d+/)[^\s@?]*)@", r"\1:***@", text)
    return re.sub(r"(?i)([?&][\w.-]*(?:secret|password|token|key|sig)[\w.-]*=)[^\s&]+", r"\1***", text)


def reason_of(error: BaseException) -> str:
    """Return the type of an error in a user's or another package's code, and the first line of its message."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}".rstrip(": .")


def printable(text: str) -> str:
    """Return a text with control characters escaped; a file name could otherwise control the terminal. Emoji stay."""
    kept = ("\N{ZERO WIDTH JOINER}", "\N{NO-BREAK SPACE}", "\N{IDEOGRAPHIC SPACE}")
    return "".join(each if each.isprintable() or each in kept else ascii(each)[1:-1] for each in text)


def sentence(words: str) -> str:
    """Return the words as a sentence with exactly one mark at its end.

    >>> sentence("there is none"), sentence("there is none. Did you mean 'x'?")
    ('there is none.', "there is none. Did you mean 'x'?")
    """
    return words if words.endswith((".", "?")) else f"{words}."


def nearest(name: object, known: Iterable[str], table: str = "") -> str:
    """Suggest the known name closest to ``name``, or list all known names. ``table`` is a prefix for each name.

    >>> nearest("learning_rte", ["learning_rate", "momentum"])
    " Did you mean 'learning_rate'?"
    >>> nearest("LR", ["lr", "name"], "optim.")
    " Did you mean 'optim.lr'?"
    >>> nearest("rotate", ["flip", "rotation_degrees"])
    " Did you mean 'rotation_degrees'?"
    >>> nearest("rate", ["lr", "name"], "optim.")
    ' Known: optim.lr, optim.name.'
    """
    known = sorted(known)
    lowered = {each.lower(): each for each in known}
    word = str(name).lower()
    close = difflib.get_close_matches(word, lowered, n=1)
    close = close or [each for each in lowered if len(word) > 4 and each.startswith(word[:4])]
    if close:
        return f" Did you mean '{table}{lowered[close[0]]}'?"
    return f" Known: {', '.join(table + each for each in known) or 'none'}."


def rule_of(fault: Mapping[str, Any]) -> str:
    """Say what a value that pydantic refused should be, as pydantic does.

    >>> rule_of({"type": "less_than", "msg": "Input should be less than 1"})
    'should be less than 1'
    >>> rule_of({"type": "value_error", "msg": "Value error, There is none"})
    'there is none'
    """
    if fault["type"] == "literal_error":
        return f"should be {fault['ctx']['expected']}"
    words = re.sub("^(Value error, |[A-Z][a-z]+ (?=should))", "", str(fault["msg"]))
    return words[:1].lower() + words[1:]


def place(location: Iterable[int | str]) -> str:
    """Return the dotted path of a value in a file: ``("outputs", "a", 0)`` -> ``"outputs.a[0]"``."""
    # pydantic adds which of several types it tried.
    location = [part for part in location if not str(part).startswith(("dict[", "literal["))]
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")


def fault_text(fault: Mapping[str, Any]) -> str:
    """Say what is wrong in a file: ``"has drop.0.row = 'a'; it must be a whole number"``."""
    where = place(fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"has an unknown key '{where}'"
    if fault["type"] == "missing":
        return f"has no '{where}'"
    return f"has {where} = {value_text(fault['input'])}; it {rule_of(fault)}"


def share_text(share: float) -> str:
    """Format a fraction or probability in whole percent; 0% and 100% are shown only if exact.

    >>> share_text(0.984), share_text(0.997), share_text(1), share_text(0.001)
    ('98%', '>99%', '100%', '<1%')
    """
    if 0 < share < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= share < 1 else f"{share:.0%}"


def value_text(value: Any) -> str:
    """Return a value roughly as TOML writes it, for a message; at most 60 characters."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
