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
# Arguments of mien.load_dataset, for the functions that read data from a path and have no argument for them.
_OF_LOADING = {"class_map": "str", "group": "str", "skip_bad": "bool", "votes": "str"}
# A command line in a sentence keeps its options: it runs up to the end of the sentence.
_COMMAND = re.compile(r"(\bmien [a-z][a-z-]+ .*?(?=(?<!\.)[.;,)](?:\s|$)|$))")
_SETTING = re.compile(r"--set ([\w.]+)=([\w.+-]*\w)")
_SETTING_AT_FAULT = re.compile(r"--set ([\w.]+)(?=:)")
# Not within a path: a folder may be called a--group.
_OPTION = re.compile(r"(?<![\w/.-])--([a-z][a-z-]*)(?![\w/-])(?: ([A-Z]{2,}|[\d.]*\d)\b(?!=))?(?=( [\w'])?)")
_MAP = re.compile(r"--map '(.*?)=(\w+)'")


def names_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """A function whose errors name its arguments: ``out=...`` for ``--out``, ``resume=True`` for ``--resume``.

    Options that neither the function nor :func:`mien.load_dataset` has an argument for stay as they are. The command
    line calls what is inside these functions, not them.
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
    r"""A message with arguments in place of options.

    Args:
        message: one line.
        kinds: the annotation of each argument, by its name.

    >>> with_arguments("Choose another --out, or go on with --resume.", {"out": "str", "resume": "bool"})
    'Choose another out=..., or go on with resume=True.'
    >>> with_arguments("--out must name a file; give --data PATH, or --limit 5.", {"out": "", "data": "", "limit": ""})
    'out must name a file; give data=PATH, or limit=5.'
    >>> with_arguments("Make it: mien evaluate RUN --data PATH --out DIR. Or give --out.", {"data": "", "out": ""})
    'Make it: mien evaluate RUN --data PATH --out DIR. Or give out=....'
    >>> with_arguments("Leave them out with --skip-bad.", {"data": "Data"})
    'Leave them out with mien.load_dataset(..., skip_bad=True).'
    >>> with_arguments("--group '(x)' matches none. Name it: --map '7=contempt'.", {"group": "", "class_map": ""})
    'group \'(x)\' matches none. Name it: class_map={"7": "contempt"}.'
    >>> with_arguments("--set seed: no. Try --set precision=fp32, --set epochs=5.", {"settings": ""})
    'settings["seed"]: no. Try settings={"precision": "fp32"}, settings={"epochs": 5}.'
    """

    def argument(found: re.Match[str]) -> str:
        option, value, goes_on = found.groups()
        name = option.replace("-", "_")
        name = _ARGUMENTS.get(name, name)
        of_loading = name not in kinds and "data" in kinds
        kind = _OF_LOADING.get(name) if of_loading else kinds.get(name)
        if kind is None:
            return found[0]
        if kind != "bool" and value is None and goes_on:
            return name  # the sentence is about it
        given = f"{name}={'True' if kind == 'bool' else value or '...'}"
        return f"mien.load_dataset(..., {given})" if of_loading else given

    def mapped(found: re.Match[str]) -> str:
        given = f'class_map={{"{found[1]}": "{found[2]}"}}'
        return given if "class_map" in kinds else f"mien.load_dataset(..., {given})" if "data" in kinds else found[0]

    def setting(found: re.Match[str]) -> str:
        key, value = found.groups()
        if value in {"true", "false"}:
            value = value.capitalize()
        elif not re.fullmatch(r"[A-Z]+|[\d.e+-]+", value):
            value = f'"{value}"'
        return f'settings={{"{key}": {value}}}'

    def in_words(part: str) -> str:
        part = _MAP.sub(mapped, part)
        if "settings" in kinds:
            part = _SETTING.sub(setting, _SETTING_AT_FAULT.sub(r'settings["\1"]', part))
        return _OPTION.sub(argument, part)

    parts = _COMMAND.split(message)
    return "".join(part if place % 2 else in_words(part) for place, part in enumerate(parts))
