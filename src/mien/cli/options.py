"""Options of commands, made from functions: names, types, defaults from the signature, help from the docstring."""

import builtins
import inspect
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from functools import partial
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

import typer

from mien.base.errors import MienWarning
from mien.base.progress import notice, set_quiet

Command = TypeVar("Command", bound=Callable[..., Any])

SHARED = """Options that mean the same in all commands. A command's own text replaces that here.

Options:
    images (IMAGE): Images, or folders of images; - is an image from standard input.
    model: A run folder, a .onnx file, or a built-in model: default, fast, tiny, best, or one of them with -int8.
    data (PATH): Labelled images: fer2013.csv, a CSV of path,label, a folder of class folders, or a parquet file.
    crops: Treat each image as a face crop; run no detection.
    output (NAME): Use this output of the model, such as fer2013. `mien info MODEL` lists them, the default first.
    classes (SCHEME): Merge classes by a label scheme: all, seven, six, five, three, binary, binary-with-disgust, or
        'positive=happy+surprise,negative=angry+fear+sad'.
    metrics (METRIC): Another metric: kappa, mcc, top2_accuracy, recall.CLASS, ..., or file.py:function, your own
        function of labels and probabilities.
    provider (NAME): Run the model with this execution provider of ONNX Runtime: cpu, cuda, coreml, openvino,
        directml, ...
    engine: local: in this process. ray: with Ray, on this machine or on the cluster at RAY_ADDRESS.
    overwrite: Replace files that already exist.
    json: Print JSON instead of a table.
"""
_NAMES = {
    **{"class_map": "map", "faces_per_class": "count", "init_from": "from"},
    **{"metrics": "metric", "settings": "set", "target": "class"},
}
"""Options with another name than their parameter: ``from`` and ``class`` are words of Python."""
_METAVARS = {
    **{"against": "PREDICTIONS", "by": "COLUMN", "init_from": "RUN", "log": "LOGGER", "only": "VARIANT"},
    **{"out": "DIR", "predictions": "FILE", "results": "DIR", "settings": "KEY=VALUE", "spec": "STUDY"},
    **{"storage": "URL", "target": "NAME", "teachers": "MODEL|FILE"},
}
"""How the help calls a value. Others are N for a whole number, X for another number, and text by the name."""


class Range(NamedTuple):
    """The least and greatest number that an option takes, in ``Annotated[int, Range(1, 50)]``."""

    min: float | None = None
    max: float | None = None


Positive: TypeAlias = Annotated[int, Range(1)]
NotNegativeNumber: TypeAlias = Annotated[float, Range(0)]
Port: TypeAlias = Annotated[int, Range(0, 65535)]


def shows(called: Callable[..., Any], *left_out: str, reads: Any = None) -> Callable[[Command], Command]:
    """Give a command the parameters of a function of ``mien.api``, and as its first argument that function with values.

    The function's first parameter is the command's argument, the others are options, with its types, defaults and help.
    Left out are parameters in ``left_out``, those that the command declares itself, and those whose values no shell can
    give. ``reads`` is the dataclass of the options with which the parameter ``data`` is read.
    """

    def decorate(command: Command) -> Command:
        own = [*inspect.signature(command).parameters]
        types = {name: _option_type(hint) for name, hint in _hints(called).items() if name not in {*own, *left_out}}
        taken = {name: kind for name, kind in types.items() if kind is not None and name != "return"}
        vars(command)["shows"] = called, taken, reads
        return command

    return decorate


def as_command(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function as typer takes it, with ``--quiet``.

    Parameters before ``*`` are arguments, those after it options. A dataclass stands for one option per field. The
    docstring has the help as ``name (METAVAR): text``, indented; the text before ``Options:`` describes the command.
    """

    def run(**given: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("always", MienWarning)
            warnings.showwarning = _show_warning
            return _call(function, given)

    quiet = typer.Option(False, "--quiet", "-q", help="Print no progress and no notices.", callback=set_quiet)
    parameters = [
        *_parameters(function),
        inspect.Parameter("quiet", inspect.Parameter.KEYWORD_ONLY, default=quiet, annotation=bool),
    ]
    run.__doc__ = inspect.cleandoc(function.__doc__ or "").partition("\n\nOptions:\n")[0]
    if run.__doc__.startswith("See :func:"):
        called, *_ = vars(function)["shows"]
        run.__doc__ = _without_marks(inspect.cleandoc(called.__doc__).partition("\n\nArgs:")[0])
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def _show_warning(message: Warning | str, *about: Any, **more: Any) -> None:
    notice(str(message), getattr(message, "code", "warning"))


class _Names(dict[str, Any]):
    """Names in annotations. A name imported for type checkers alone is the type of no option."""

    def __missing__(self, name: str) -> Any:
        return Any


def _hints(function: Callable[..., Any], *, ranges: bool = False) -> dict[str, Any]:
    names = vars(builtins) | vars(sys.modules[function.__module__])
    return get_type_hints(function, localns=_Names(names), include_extras=ranges)


def _option_type(hint: Any) -> Any:
    """Return the type of an option for a parameter of an API function; None if no shell can give its values."""
    parts = get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)
    kinds = {get_origin(part) or part for part in parts}
    if Sequence in kinds:
        return list[str] | None
    if str in kinds:
        return str | None if NoneType in kinds else str
    return hint if kinds & {Literal, bool, int, float} else None


def _call(function: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    called, taken, reads = vars(function).get("shows", (None, {}, None))
    hints = _hints(function)
    names = [*inspect.signature(function).parameters][called is not None :]
    own = {name: _call(hints[name], given) if is_dataclass(hints[name]) else given[name] for name in names}
    if called is None:
        return function(**own)
    values = {name: given[name] for name in taken if given[name] not in (None, [])}
    if reads is not None and (source := _call(reads, given).at_any(values.get("data"))) is not None:
        values["data"] = source
    return function(partial(called, **values), **own)


def _parameters(function: Callable[..., Any]) -> Iterator[inspect.Parameter]:
    """Yield the parameters of a command or dataclass as typer takes them."""
    called, taken, reads = vars(function).get("shows", (None, {}, None))
    texts = help_texts(called.__doc__ if called else "") | help_texts(SHARED)
    for each in reversed(getattr(function, "__mro__", [function])):
        texts |= help_texts(each.__doc__)
    if called is not None:
        for place, parameter in enumerate(inspect.signature(called).parameters.values()):
            if parameter.name in taken:
                yield _parameter(parameter, taken[parameter.name], *texts[parameter.name], is_option=place > 0)
    if reads is not None:
        yield from _parameters(reads)
    hints, ranges = _hints(function), _hints(function, ranges=True)
    for name, parameter in [*inspect.signature(function).parameters.items()][called is not None :]:
        if is_dataclass(hints[name]):
            yield from _parameters(hints[name])
        else:
            is_option = parameter.kind is parameter.KEYWORD_ONLY
            yield _parameter(parameter, hints[name], *texts[name], is_option=is_option, **_range(ranges[name]))


def _parameter(
    parameter: inspect.Parameter, hint: Any, metavar: str, text: str, *, is_option: bool, **limits: float
) -> inspect.Parameter:
    name, default = parameter.name, parameter.default
    default = ... if default is parameter.empty else None if default == () else default
    if is_option and list in {get_origin(part) for part in (hint, *get_args(hint))}:
        text += " Can be repeated."
    settings: dict[str, Any] = {"help": text, "metavar": metavar or _metavar(name, hint), **limits}
    option = f"--{_NAMES.get(name, name).replace('_', '-')}"
    option += f"/--no-{name}" if default is True else ""
    info = typer.Option(default, option, **settings) if is_option else typer.Argument(default, **settings)
    return parameter.replace(kind=parameter.KEYWORD_ONLY, default=info, annotation=hint)


def _metavar(name: str, hint: Any) -> str | None:
    kinds = {get_origin(part) or part for part in (hint, *get_args(hint))}
    if kinds & {bool, Literal}:
        return None
    return "N" if int in kinds else "X" if float in kinds else _METAVARS.get(name, _NAMES.get(name, name).upper())


def _range(hint: Any) -> dict[str, Any]:
    """Return typer's ``min`` and ``max`` of an annotated type, such as ``Positive | None``."""
    limits = [limit for part in (hint, *get_args(hint)) for limit in getattr(part, "__metadata__", ())]
    return {side: value for limit in limits for side, value in limit._asdict().items() if value is not None}


def help_texts(documentation: str | None) -> dict[str, tuple[str, str]]:
    """Return metavar and help of each name in a docstring.

    >>> help_texts('''Train.
    ...
    ... Options:
    ...     out (DIR): the run folder
    ...         to create.
    ...     resume: Resume the ``run``.''')
    {'out': ('DIR', 'The run folder to create.'), 'resume': ('', 'Resume the run.')}
    """
    lines = re.findall(
        r"^ {4}(\w+)(?: \((.+?)\))?: (.+(?:\n {8,}.+)*)", inspect.cleandoc(documentation or ""), re.MULTILINE
    )
    return {name: (metavar, _sentence(" ".join(text.split()))) for name, metavar, text in lines}


def _without_marks(text: str) -> str:
    return re.sub(r":\w+:`(?:mien\.)?([\w.]+)`", r"mien \1", text).replace("``", "")


def _sentence(text: str) -> str:
    """Return a docstring's text as help: without what is for Python alone, its first word capitalised if no value."""
    text = re.sub(r"[;,] in Python [^.;]*(?=[.;])", "", _without_marks(text))
    return text if re.match(r"\w+:|[a-z]+\d|\w+,", text) else text[:1].upper() + text[1:]
