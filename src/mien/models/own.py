"""Users' own networks: any ``nn.Module`` in a Python file that maps images to logits."""

import ast
import hashlib
import inspect
import linecache
import sys
import textwrap
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mien.base.errors import RecipeError, nearest, reason_of
from mien.base.files import cache_folder, file_sha256, run_python, write_text
from mien.base.recipe_tables import ModelRecipe, OwnPart
from mien.models.network import Network

Module = nn.Module
OwnModule = type[nn.Module] | nn.Module
"""A module class or instance."""
_GIVEN = ("classes", "num_classes", "size_px", "channels")
"""Parameters that mien passes to the class if it has them."""


class OwnNetwork(Network):
    """A user's module: its last linear layer is the head, the rest the features; without one, the logits are."""

    licence: str = "that of its author"

    def __init__(self, module: nn.Module, head_name: str | None, classes: int) -> None:
        super().__init__()
        self.body: nn.Module = module
        self._head_name = head_name
        head: nn.Module | None = None
        if head_name is not None:
            head = module.get_submodule(head_name)
            module.set_submodule(head_name, nn.Identity())
        self.head: nn.Linear = head if isinstance(head, nn.Linear) else nn.Linear(classes, classes)
        if head is None:
            nn.init.eye_(self.head.weight)
            nn.init.zeros_(self.head.bias)
            self.head.requires_grad_(False)

    def features(self, images: Tensor) -> Tensor:
        """Compute features as in :class:`Network`."""
        features: Tensor = self.body(images)
        return features

    def parts(self) -> list[nn.Module]:
        """Return the module's own parts in the order of creation, then the head."""
        return [*self.body.children(), self.head]

    def whole_module(self) -> nn.Module:
        """Return the user's original module with the current weights."""
        if self._head_name is not None:
            self.body.set_submodule(self._head_name, self.head)
        return self.body

    def load_instance(self, weights: Mapping[str, Tensor]) -> None:
        """Load weights by an instance's names; RecipeError if they differ from those of the class when called."""
        head = None if self._head_name is None else f"{self._head_name}."
        named = {
            f"head.{name.removeprefix(head)}" if head and name.startswith(head) else f"body.{name}": value
            for name, value in weights.items()
        }
        if head is None:
            named |= {f"head.{name}": value for name, value in self.head.state_dict().items()}
        try:
            self.load_state_dict(named)
        except RuntimeError as error:
            fault = str(error).splitlines()[-1].strip(" \t.").replace("body.", "")
            words = f"The instance does not fit this data: {fault}. Give the class {type(self.body).__name__}."
            raise RecipeError(words, code="model-file") from None


def completed_own(recipe: ModelRecipe) -> dict[str, Any]:
    """Return all settings of a user's network: file, digest, defaults of the class and the recipe's values."""
    digest = recipe.settings.get("file_sha256") or _digest(recipe.file)
    given = {name: value for name, value in recipe.settings.items() if name not in {"file", "file_sha256"}}
    return {"file": recipe.file, "file_sha256": digest, **_defaults(_class_of(recipe, digest)), **given}


def build_own(recipe: ModelRecipe, classes: int, size_px: int, channels: int) -> OwnNetwork:
    """Build a user's network and test it on two black images.

    Raises RecipeError (``model-file``): the file is missing, has changed since the run began, cannot be imported or
    lacks the class; or the network fails or does not return finite logits.
    """
    settings, place = completed_own(recipe), f"{recipe.file}: {recipe.name}"
    kind = _class_of(recipe, settings.pop("file_sha256"))
    del settings["file"]
    known = inspect.signature(kind).parameters
    takes_any = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in known.values())
    if unknown := next((name for name in settings if name not in known and not takes_any), None):
        words = f"{place} has no parameter '{unknown}'.{nearest(unknown, set(known) - {'self'})}"
        raise RecipeError(words, code="model-setting")
    filled = {"classes": classes, "num_classes": classes, "size_px": size_px, "channels": channels}
    arguments = {name: value for name, value in filled.items() if name in known} | _with_tuples(settings, known)
    images = torch.zeros(2, channels, size_px, size_px)
    calls: list[tuple[str, Tensor]] = []
    fault = ""
    try:
        module = kind(**arguments)
        hooks = [
            layer.register_forward_hook(lambda _, __, output, name=name: calls.append((name, output)))
            for name, layer in module.named_modules()
            if name and isinstance(layer, nn.Linear)
        ]
        module.eval()
        with torch.no_grad():
            logits = module(images)
        module.train()
    except Exception as error:  # noqa: BLE001 - the code is the user's
        fault = f"fails: {_cause(recipe.file, error)}"
    if fault := fault or _fault_of(logits, images, classes):
        raise RecipeError(f"{place} {fault}.", code="model-file")
    for hook in hooks:
        hook.remove()
    network = OwnNetwork(module, _head_name(module, calls, logits), classes)
    if not any(each.requires_grad for each in network.parameters()):
        raise RecipeError(f"{place} has no weights that training could change.", code="model-file")
    return network


def _fault_of(logits: object, images: Tensor, classes: int) -> str:
    """Say what is wrong with a network's logits for two black images; empty if nothing is."""
    rule, returned = f"(2, {classes}) of torch.float32", type(logits).__name__
    returned = f"{tuple(logits.shape)} of {logits.dtype}" if isinstance(logits, Tensor) else returned
    if not isinstance(logits, Tensor) or returned != rule:
        return f"must return logits {rule} for images {tuple(images.shape)}; it returns {returned}"
    if not bool(logits.isfinite().all()):
        return "returns NaN or infinity for black images"
    is_softmax = bool((logits >= 0).all()) and torch.allclose(logits.sum(dim=1), torch.ones(2))
    return "returns probabilities. Remove its last softmax, because the loss has one" if is_softmax else ""


def _head_name(module: nn.Module, calls: list[tuple[str, Tensor]], logits: Tensor) -> str | None:
    """Return the name of the linear layer with bias, called once, whose output is the logits; None if no layer is."""
    name = next((name for name, output in calls if output is logits), None)
    if name is None or [each for each, _ in calls].count(name) > 1:
        return None
    return name if module.get_submodule(name).bias is not None else None


def source_of(network: OwnModule) -> tuple[str, str, dict[str, Tensor] | None]:
    """Return name and file of a user's class, and the weights of an instance; None for a class.

    The class of an imported module is in that module's file. A class of a script or notebook is copied to a file of its
    own, because importing the script would start training again. Raises RecipeError: not a class or instance of
    ``torch.nn.Module``, or a class without known source.
    """
    kind = network if isinstance(network, type) else type(network)
    if not issubclass(kind, nn.Module):
        raise RecipeError(f"network must be a torch.nn.Module; found {kind.__name__}.", code="model-file")
    return kind.__name__, _file_of(kind), None if isinstance(network, type) else dict(network.state_dict())


def _file_of(kind: type[nn.Module]) -> str:
    """Return the class's file. A class of a script, notebook or function gets a file in the cache."""
    if kind.__module__.startswith("torch."):
        words = f"{kind.__name__} is a class of torch. Write your own that builds it, class Net({kind.__name__})."
        raise RecipeError(words, code="model-file")
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    if file and kind.__module__ != "__main__" and "." not in kind.__qualname__:
        return str(file)
    # In notebooks, Python finds the file and lines of methods, but not of classes.
    functions = filter(inspect.isfunction, vars(kind).values())
    own = (each for each in functions if each.__qualname__.startswith(f"{kind.__qualname__}."))
    code = next((inspect.unwrap(each).__code__ for each in own), None)
    text = "" if code is None else "".join(linecache.getlines(code.co_filename))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef) and node.name == kind.__name__:
            break
    else:
        words = f"The source of {kind.__name__} is not known. Put the class into a .py file, and import it from there."
        raise RecipeError(words, code="model-file")
    text = _IMPORTS + textwrap.dedent(ast.get_source_segment(text, node, padded=True) or "") + "\n"
    file = cache_folder("networks") / hashlib.sha256(text.encode()).hexdigest()[:16] / f"{kind.__name__}.py"
    write_text(file, text)
    return str(file)


_IMPORTS = """import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import functional

"""
"""Names that are defined for the source of a class from a script."""


def _class_of(recipe: ModelRecipe, digest: str) -> type[nn.Module]:
    names = _names(recipe.file, digest)
    found = names.get(recipe.name)
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        classes = [name for name, each in names.items() if isinstance(each, type) and issubclass(each, nn.Module)]
        words = f"{recipe.file} has no torch.nn.Module '{recipe.name}'.{nearest(recipe.name, classes)}"
        raise RecipeError(words, code="model-file")
    return found


def _names(file: str, digest: str, table: str = "model") -> Mapping[str, Any]:
    """Run a file and return its names. Raises RecipeError if it has another digest than the run has recorded."""
    if digest not in {"", current := _digest(file, table)}:
        words = f"{file} has changed since the run began. Restore the file, or train again into another folder."
        raise RecipeError(words, code="model-file")
    return _load(file, current)


def complete_part(part: OwnPart, table: str) -> OwnPart:
    """Add the digest of the file to a part of a recipe, if it names one. Errors: see :func:`own_function`."""
    if not part.file:
        return part
    own_function(part, table)
    return part.model_copy(update={"file_sha256": _digest(part.file, table)})


_CALLED_WITH = {"loss": 2, "augment": 1, "optim": 1}
"""Number of arguments that the function of each table is called with in training."""


def own_function(part: OwnPart, table: str) -> Callable[..., Any]:
    """Return the function of a recipe's part with its arguments, else RecipeError; a loss's class is instantiated."""
    found, known = _function(part, table)
    arguments = _arguments(part, table, known)
    if table == "optim" or not isinstance(found, type):
        return partial(found, **arguments) if arguments else found
    try:
        made: Callable[..., Any] = found(**arguments)
    except Exception as error:  # noqa: BLE001 - the code is the user's
        raise RecipeError(f"{part.file}: {part.name}() fails: {reason_of(error)}.", code="model-file") from None
    return made


def _function(part: OwnPart, table: str) -> tuple[Callable[..., Any], dict[str, inspect.Parameter]]:
    """Return a part's function or class, and its parameters besides those that training gives."""
    names = _names(part.file, part.file_sha256, table)
    found = names.get(part.name)
    if not callable(found):
        known = [name for name, each in names.items() if getattr(each, "__module__", "") == names["__name__"]]
        raise RecipeError(f"{part.file} has no function '{part.name}'.{nearest(part.name, known)}", code="model-file")
    is_made = isinstance(found, type) and table != "optim"
    parameters = list(inspect.signature(found).parameters.items())
    return found, dict(parameters[0 if is_made else _CALLED_WITH[table] :])


def taken_keys(part: OwnPart, table: str) -> set[str]:
    """Return the names of a part's arguments. Errors: see :func:`own_function`."""
    return {name for name, each in _function(part, table)[1].items() if each.kind is not each.VAR_KEYWORD}


def _arguments(part: OwnPart, table: str, parameters: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """Return the arguments of a user's function: keys of their own, and changed keys of the recipe with their names."""
    known = {name: each for name, each in parameters.items() if each.kind is not each.VAR_KEYWORD}
    unknown = next((name for name in part.arguments if name not in known), None)
    if unknown is not None and len(known) == len(parameters):
        words = f"{part.file}: {part.name} has no argument '{unknown}'.{nearest(unknown, known, f'{table}.')}"
        raise RecipeError(words, code="model-setting")
    keys = {name: info for name, info in type(part).model_fields.items() if name not in OwnPart.model_fields}
    fields = {
        name: getattr(part, name)
        for name, info in keys.items()
        if name in known and (getattr(part, name) != info.default or known[name].default is inspect.Parameter.empty)
    }
    return _with_tuples(fields | part.arguments, known)


def _with_tuples(given: Mapping[str, Any], known: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """Return arguments with tuples for lists whose default is a tuple, because TOML has no tuples."""
    tuples = {name for name, each in known.items() if isinstance(each.default, tuple)}
    return {
        name: tuple(value) if name in tuples and isinstance(value, list) else value for name, value in given.items()
    }


@lru_cache(maxsize=32)
def _load(file: str, digest: str) -> Mapping[str, Any]:
    try:
        return run_python(Path(file), f"mien_own_{digest[:16]}")
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the code is the user's
        raise RecipeError(f"{file} cannot be imported: {_cause(file, error)}.", code="model-file") from None


def _digest(file: str, table: str = "model") -> str:
    if not Path(file).is_file():
        raise RecipeError(f"There is no file {file} ({table}.file).", code="model-file")
    return file_sha256(Path(file))


def _defaults(kind: type[nn.Module]) -> dict[str, Any]:
    """Return the defaults of a class's arguments that TOML can hold."""
    parameters = inspect.signature(kind).parameters.values()
    return {
        each.name: each.default
        for each in parameters
        if isinstance(each.default, bool | int | float | str | list | tuple) and each.name not in _GIVEN
    }


def _cause(file: str, error: BaseException) -> str:
    # A class of a notebook or script is copied without what stands beside it.
    if type(error) is NameError and cache_folder("networks") in Path(file).parents:
        return f"{reason_of(error)}. Put the class and all that it uses into a .py file, and import it from there"
    return reason_of(error)
