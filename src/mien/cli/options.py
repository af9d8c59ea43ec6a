"""Options of commands, made from functions: names, types, defaults from the signature, help from the docstring."""

import atexit
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, get_args, get_type_hints

import typer

from mien.base.errors import DataError
from mien.base.progress import set_quiet


class Range(NamedTuple):
    """The least and greatest number that an option takes, in ``Annotated[int, Range(1, 50)]``."""

    min: float | None = None
    max: float | None = None


Positive: TypeAlias = Annotated[int, Range(1)]
NotNegative: TypeAlias = Annotated[int, Range(0)]
NotNegativeNumber: TypeAlias = Annotated[float, Range(0)]
Port: TypeAlias = Annotated[int, Range(0, 65535)]
Device: TypeAlias = Literal["auto", "cpu", "cuda", "mps"]

SHARED = """Options that mean the same in all commands. A command's own text replaces that here.

Options:
    images (IMAGE): Images, or folders of images; - is an image from standard input.
    model (MODEL): A run folder, a .onnx file, or a built-in model: default, fast, tiny, best, or one of them with
        -int8.
    path (PATH): Labelled images: fer2013.csv, a CSV of path,label, a folder of class folders, or a parquet file.
    data (PATH): Labelled images: fer2013.csv, a CSV of path,label, a folder of class folders, or a parquet file.
    crops: Treat each image as a face crop; run no detection.
    output (NAME): Use this output of the model, such as fer2013. `mien info MODEL` lists them, the default first.
    classes (SCHEME): Merge classes by a label scheme: all, seven, six, five, three, binary, binary-with-disgust, or
        'positive=happy+surprise,negative=angry+fear+sad'.
    provider (NAME): Run the model with this execution provider of ONNX Runtime: cpu, cuda, coreml, openvino,
        directml, ...
    tta (N): Test-time augmentation: average over 1, 2 (also mirrored), 5 (also corners) or 10 (both) views.
    engine: local: in this process. ray: with Ray, on this machine or on the cluster at RAY_ADDRESS.
    device: Where to train. auto uses a GPU if there is one.
    overwrite: Replace files that already exist.
    json: Print JSON instead of a table.
"""
_NAMES = {"class_map": "map", "init_from": "from", "settings": "set", "target": "class"}
"""Options with another name than their parameter: ``from`` and ``class`` are words of Python."""


def as_command(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function as typer takes it, with ``--quiet``.

    Parameters before ``*`` are arguments, those after it options. A dataclass stands for one option per field. The
    docstring has the help as ``name (METAVAR): text``, indented; the text before ``Options:`` describes the command.
    """

    def run(**given: Any) -> Any:
        return _call(function, given)

    quiet = typer.Option(False, "--quiet", "-q", help="Print no progress and no notices.", callback=set_quiet)
    parameters = [
        *_parameters(function),
        inspect.Parameter("quiet", inspect.Parameter.KEYWORD_ONLY, default=quiet, annotation=bool),
    ]
    run.__doc__ = inspect.cleandoc(function.__doc__ or "").partition("\n\nOptions:\n")[0]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def _call(function: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    """Call a function or dataclass with its part of the options."""
    hints = get_type_hints(function)
    names = inspect.signature(function).parameters
    return function(**{name: _call(hints[name], given) if is_dataclass(hints[name]) else given[name] for name in names})


def _parameters(function: Callable[..., Any]) -> Iterator[inspect.Parameter]:
    hints, ranges = get_type_hints(function), get_type_hints(function, include_extras=True)
    texts = help_texts(SHARED)
    for each in reversed(getattr(function, "__mro__", [function])):
        texts |= help_texts(each.__doc__ or "")
    for name, parameter in inspect.signature(function).parameters.items():
        if is_dataclass(hints[name]):
            yield from _parameters(hints[name])
            continue
        metavar, text = texts[name]
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        settings: dict[str, Any] = {"help": text, "metavar": metavar or None, **_range(ranges[name])}
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            option = f"--{_NAMES.get(name, name).replace('_', '-')}"
            info = typer.Option(default, f"{option}/--no-{name}" if default is True else option, **settings)
        else:
            info = typer.Argument(default, **settings)
        yield parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, default=info, annotation=hints[name])


def help_texts(documentation: str) -> dict[str, tuple[str, str]]:
    """Return metavar and help of each name in a docstring.

    >>> help_texts('''Train.
    ...
    ... Options:
    ...     out (DIR): The run folder
    ...         to create.
    ...     resume: Resume the run.''')
    {'out': ('DIR', 'The run folder to create.'), 'resume': ('', 'Resume the run.')}
    """
    lines = re.finditer(r"^ {4}(\w+)(?: \((.+?)\))?: (.+(?:\n {8,}.+)*)", inspect.cleandoc(documentation), re.MULTILINE)
    return {name: (metavar or "", " ".join(text.split())) for name, metavar, text in (each.groups() for each in lines)}


def _range(hint: Any) -> dict[str, Any]:
    """Return typer's ``min`` and ``max`` of an annotated type, such as ``Positive | None``."""
    limits = [limit for part in (hint, *get_args(hint)) for limit in getattr(part, "__metadata__", ())]
    return {side: value for limit in limits for side, value in limit._asdict().items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class PlainSettings:
    """Keys of a recipe with their own options.

    Options:
        epochs (N): Train for N epochs. Sets epochs of the recipe.
        batch_size (N): Number of images in a batch. Sets batch_size of the recipe.
        lr (X): Peak learning rate. Sets optim.lr of the recipe.
        seed (N): Random seed. Sets seed of the recipe.
    """

    epochs: Positive | None = None
    batch_size: Positive | None = None
    lr: float | None = None
    seed: int | None = None

    def changes(self, before: Sequence[str] | None = None, classes: str | None = None) -> list[str]:
        """Return the changes of ``--set`` and then those of these options, as ``"key=value"``.

        >>> PlainSettings(epochs=5, lr=0.01).changes(["optim.momentum=0.8"])
        ['optim.momentum=0.8', 'epochs=5', 'optim.lr=0.01']
        """
        plain = {"optim.lr" if key == "lr" else key: value for key, value in vars(self).items()} | {"classes": classes}
        return [*(before or ()), *(f"{key}={value}" for key, value in plain.items() if value is not None)]


def stdin_as_file(images: list[Any]) -> list[Any]:
    """Replace ``-`` by a temporary file with the content of standard input, named by its digest."""
    if not any(str(name) == "-" for name in images):
        return images
    if sys.stdin.isatty():
        raise DataError("- is an image from standard input: cat photo.jpg | mien predict -", code="stdin-terminal")
    from hashlib import sha256
    from shutil import rmtree
    from tempfile import mkdtemp

    from mien.base.files import cache_folder

    content = sys.stdin.buffer.read()
    folder = cache_folder("stdin") / sha256(content).hexdigest()[:12]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a user without a home
        folder = Path(mkdtemp(prefix="mien-"))
    atexit.register(rmtree, folder, ignore_errors=True)
    file = folder / "stdin"
    file.write_bytes(content)
    return [type(name)(file) if str(name) == "-" else name for name in images]
