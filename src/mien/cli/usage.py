"""Error messages about a command's options."""

import re
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from mien.base.errors import DataError, rule_of, sentence
from mien.base.recipe import key_of


def leave_out(why: str, options: Mapping[str, object]) -> None:
    """Raise an error that names the given options."""
    given = [name for name, value in options.items() if value]
    if given:
        raise DataError(f"{why}. Leave out {' and '.join(given)}.", code="options")


def usage_text(error: Any) -> str:
    """Describe one of typer's usage errors in a sentence. Newer versions of typer check values with pydantic."""
    cause = error.__cause__
    if isinstance(cause, ValidationError) and error.param is not None:
        fault = cause.errors()[0]
        rule = rule_of(fault)
        name = max(error.param.opts, key=len)
        if fault["type"] == "value_error":
            return sentence(f"{name}: {rule}")
        return sentence(f"{name} {fault['input']}: the value {rule}")
    name = getattr(error, "option_name", "").lstrip("-")
    takes = {of for each in error.ctx.command.params for of in each.opts} if error.ctx is not None else set()
    if name == "data" and "path" in takes:
        return "There is no option --data: give the data as an argument."
    if "--set" in takes and (key := key_of(name.replace("-", "_"))):
        return f"There is no option --{name}. Did you mean --set {key}=VALUE?"
    # typer compares names including their dashes, so compare without them.
    known = {name.lstrip("-"): name for name in getattr(error, "possibilities", None) or ()}
    if likely := [known[name] for name in get_close_matches(name, known)]:
        return f"There is no option {error.option_name}. Did you mean {' or '.join(likely)}?"
    message = " ".join(error.format_message().split())
    message = re.sub(r"^No such option: (\S+?)\.?( .*)?$", r"There is no option \1.", message)
    message = re.sub(r"^Got unexpected extra arguments?(?:\(s\))? \((.+)\)\.?$", r"Unexpected argument: \1.", message)
    if message.startswith("Unexpected argument") and "--data" in takes and "--data" not in sys.argv:
        message += " Data is given with --data."
    return sentence(message)
