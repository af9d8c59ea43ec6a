"""Options of a command: fields of dataclasses that several commands share, and ``--quiet``, which all have."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Annotated, Any, get_type_hints

import typer

from mien.base.progress import set_quiet

_QUIET = inspect.Parameter(
    "quiet",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[
        bool, typer.Option("--quiet", "-q", help="Print no progress and no notices.", callback=set_quiet)
    ],
)


def with_option_groups(command: Callable[..., Any]) -> Callable[..., Any]:
    """Replace each dataclass parameter of a command by one option per field, and add ``--quiet``.

    A field may be such a dataclass itself. Names of fields must be unique in a command.
    """
    hints = get_type_hints(command, include_extras=True)

    def run(**given: Any) -> Any:
        values = {
            name: _build(hint, given) if is_dataclass(hint) else given[name]
            for name, hint in hints.items()
            if name != "return"
        }
        return command(**values)

    parameters = []
    for name, parameter in inspect.signature(command).parameters.items():
        if is_dataclass(hints[name]):
            parameters += _options(hints[name])
        else:
            parameters.append(parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=hints[name]))
    parameters.append(_QUIET)
    run.__doc__ = command.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def _options(group: Any) -> list[inspect.Parameter]:
    hints, found = get_type_hints(group, include_extras=True), []
    for field in fields(group):
        hint = hints[field.name]
        if is_dataclass(hint):
            found += _options(hint)
            continue
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        found.append(inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint))
    return found


def _build(group: Any, given: Mapping[str, Any]) -> Any:
    hints = get_type_hints(group)
    return group(
        **{
            field.name: _build(hints[field.name], given) if is_dataclass(hints[field.name]) else given[field.name]
            for field in fields(group)
        }
    )
