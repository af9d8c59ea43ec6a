"""Error messages about a command's options."""

import sys
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from mien.base.errors import DataError, sentence
from mien.base.recipe import key_of

_ELSEWHERE = {
    "fit": "train",
    "finetune": "train",
    "val": "evaluate",
    "test": "evaluate",
    "benchmark": "evaluate",
    "detect": "predict",
    "classify": "predict",
    "track": "video",
    "tune": "sweep",
    "convert": "export",
    "app": "webcam",
}
"""Commands of other packages, and mien's."""


def leave_out(why: str, options: Mapping[str, object]) -> None:
    """Raise an error that names the given options."""
    given = [name for name, value in options.items() if value]
    if given:
        raise DataError(f"{why}. Leave out {' and '.join(given)}.", code="options")


def usage_text(error: Any) -> str:
    """Describe one of typer's usage errors in a sentence. Suggest what other packages and commands call otherwise."""
    message = " ".join(error.format_message().split()).replace("Value error, ", "")
    name = getattr(error, "option_name", "").lstrip("-")
    takes = {of for each in error.ctx.command.params for of in each.opts} if error.ctx is not None else set()
    # typer compares names including their dashes, so compare without them.
    known = {each.lstrip("-"): each for each in (name and error.possibilities) or ()}
    if name == "data" and "path" in takes:
        return "There is no option --data: give the data as an argument."
    if "--set" in takes and (key := key_of(name.replace("-", "_"))):
        return f"There is no option --{name}. Did you mean --set {key}=VALUE?"
    if known:
        likely = " or ".join(known[each] for each in get_close_matches(name, known))
        return f"There is no option {error.option_name}." + (f" Did you mean {likely}?" if likely else "")
    if message.startswith("Got unexpected") and "--data" in takes and "--data" not in sys.argv:
        return sentence(message) + " Data is given with --data."
    command = _ELSEWHERE.get(sys.argv[1]) if message.startswith("No such command") else None
    return f"There is no command {sys.argv[1]}. Did you mean {command}?" if command else sentence(message)
