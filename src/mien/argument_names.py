"""Errors of the Python functions name arguments, where those of the command line name options."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import ParamSpec, TypeVar

from mien.errors import MienError

P = ParamSpec("P")
R = TypeVar("R")

# Options whose argument has another name.
_ARGUMENTS = {"from": "init_from", "map": "class_map"}
# A command line in a sentence keeps its options: it runs up to the end of the sentence.
_COMMAND = re.compile(r"(\bmien [a-z][a-z-]+ .*?(?=[.;,)]?(?:\s[A-Z(]|$)))")
_SETTING = re.compile(r"--set ([\w.]+)=([\w.]+)")
_SETTING_AT_FAULT = re.compile(r"--set ([\w.]+)(?=:)")
_OPTION = re.compile(r"--([a-z][a-z-]*)(?: ([A-Z]{2,})\b)?")


def names_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """A function whose errors name its arguments: ``out=...`` for ``--out``, ``resume=True`` for ``--resume``.

    Options that the function has no argument for stay as they are. The command line calls what is inside these
    functions, not them.
    """
    kinds = {name: str(each.annotation) for name, each in inspect.signature(function).parameters.items()}

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except MienError as error:
            error.args = (with_arguments(str(error), kinds),)
            raise

    return wrapped


def with_arguments(message: str, kinds: Mapping[str, str]) -> str:
    """A message with arguments in place of options.

    Args:
        message: one line.
        kinds: the annotation of each argument, by its name.

    >>> with_arguments("Choose another --out, or go on with --resume.", {"out": "str", "resume": "bool"})
    'Choose another out=..., or go on with resume=True.'
    >>> with_arguments("int8 is measured on the validation split; give --data PATH.", {"data": "Data"})
    'int8 is measured on the validation split; give data=PATH.'
    >>> with_arguments("Make it with: mien soft-labels RUN --data PATH", {"data": "Data"})
    'Make it with: mien soft-labels RUN --data PATH'
    """

    def argument(found: re.Match[str]) -> str:
        name = found[1].replace("-", "_")
        name = _ARGUMENTS.get(name, name)
        if name not in kinds:
            return found[0]
        return f"{name}={'True' if kinds[name] == 'bool' else found[2] or '...'}"

    def in_words(part: str) -> str:
        if "settings" in kinds:
            part = _SETTING.sub(r'settings={"\1": \2}', _SETTING_AT_FAULT.sub(r'settings["\1"]', part))
        return _OPTION.sub(argument, part)

    parts = _COMMAND.split(message)
    return "".join(part if place % 2 else in_words(part) for place, part in enumerate(parts))
