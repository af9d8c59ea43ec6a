"""What a value must be, in plain words: pydantic's own are about its types, not about a recipe or an option."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "finite_number": "a number",
    "bool": "true or false",
    "string": "text",
    "tuple": "a list",
    "list": "a list",
    "dict": "a table of keys and values",
    "model": "a table of keys and values",
    "dataclass": "a table of keys and values",
    "date": "a date",
}
"""Pydantic's kinds of faults without their endings: ``int_type``, ``int_parsing``, ``int_from_float``."""
_LIMITS = {"ge": "{} or more", "gt": "greater than {}", "le": "at most {}", "lt": "less than {}"}
_LIMIT_FAULTS = {"greater_than_equal": "ge", "greater_than": "gt", "less_than_equal": "le", "less_than": "lt"}
_FOLDER_NAME = "^[A-Za-z0-9]"


def rule_of(fault: Mapping[str, Any], constraints: Iterable[object] = ()) -> str:
    """What the value of one of pydantic's faults must be.

    Args:
        fault: an entry of ``ValidationError.errors()``.
        constraints: the ``metadata`` of the field, whose limits are all said. Without them, only the broken one.

    >>> rule_of({"type": "int_parsing", "msg": ""})
    'must be a whole number'
    >>> rule_of({"type": "less_than", "msg": "", "ctx": {"lt": 1.0}})
    'must be less than 1'
    """
    kind, context = str(fault["type"]), fault.get("ctx", {})
    if kind == "value_error":
        reason = str(context["error"])
        return f"{reason[:1].lower()}{reason[1:]}"
    broken = _LIMIT_FAULTS.get(kind)
    given = {name: getattr(each, name) for each in constraints for name in _LIMITS if hasattr(each, name)}
    limits = given or ({broken: context[broken]} if broken else {})
    words = " and ".join(_LIMITS[name].format(_number(limit)) for name, limit in limits.items())
    if broken:
        return f"must be {words}"
    if kind in {"too_short", "too_long"}:
        least = kind == "too_short"
        limit = context["min_length" if least else "max_length"]
        return f"must have {limit} {'value' if limit == 1 else 'values'} or {'more' if least else 'fewer'}"
    if kind in {"literal_error", "enum"}:
        return f"must be {context['expected']}"
    if kind == "string_pattern_mismatch":
        if context["pattern"].startswith(_FOLDER_NAME):
            return "must begin with a letter or digit, and have only letters, digits, spaces and . _ - in it"
        return "must begin with a small letter, and have only small letters, digits and _ in it, 31 at most"
    name = _KINDS.get(kind) or _KINDS.get(kind.partition("_")[0])
    if name is None:
        return f"is not possible: {fault['msg'][:1].lower()}{fault['msg'][1:]}"
    return f"must be {name}" + (f", {words}" if words else "")


def place(location: Iterable[int | str]) -> str:
    """Where in a file a value is: ``("outputs", "a", 0)`` -> ``"outputs.a[0]"``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")


def fault_text(fault: Mapping[str, Any]) -> str:
    """What is wrong in a file: ``"has drop.0.row = 'a'; it must be a whole number"``."""
    where = place(fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"has an unknown key '{where}'"
    if fault["type"] == "missing":
        return f"has no '{where}'"
    return f"has {where} = {value_text(fault['input'])}; it {rule_of(fault)}"


def value_text(value: Any) -> str:
    """A value as TOML has it, near enough for a message; at most 60 characters."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _number(limit: Any) -> str:
    """1.0 -> ``"1"``, 2147483648 as it is."""
    return f"{limit:g}" if isinstance(limit, float) else str(limit)
