"""TOML specs: find, parse, check and write recipes, search spaces and studies.

A spec is given by the name of a file in the package, or by a path. An error is one line that names the file and the
key, and suggests the nearest known name.
"""

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from mien.base.errors import MienError, fault_text, nearest, place, rule_of, sentence, value_text
from mien.base.files import expand_home, plain, refuse_pointer

M = TypeVar("M", bound=BaseModel)


def is_path(name: str) -> bool:
    """Return whether ``name`` is a path, not the name of a built-in spec."""
    return name.endswith(".toml") or "/" in name


@dataclass(frozen=True)
class SpecKind:
    """A kind of TOML spec: recipe, search space or study.

    Attributes:
        noun: name in messages, such as ``"search space"``. Error codes begin with its last word: ``space-value``.
        plural: folder of the built-in specs in the package.
        error: class of all its errors.
        also_called: other packages' names of keys, such as ``"optimizer"``, mapped to mien's keys.
    """

    noun: str
    plural: str
    error: type[MienError]
    also_called: Mapping[str, str] = field(default_factory=dict)

    def names(self) -> list[str]:
        """Return the names of the built-in specs, sorted."""
        folder = resources.files("mien") / self.plural
        return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))

    def read(self, name: str | os.PathLike[str]) -> str:
        """Read the text of a spec by name or path; raises MienError ``NOUN-unknown`` or ``NOUN-unreadable``."""
        name = os.fspath(name)
        if not is_path(name):
            if name not in self.names():
                file = Path(f"{name}.toml")
                hint = f" Did you mean the file {file}?" if file.is_file() else nearest(name, self.names())
                raise self._error(f"There is no {self.noun} '{name}'.{hint}", "unknown")
            return (resources.files("mien") / self.plural / f"{name}.toml").read_text(encoding="utf-8")
        try:
            refuse_pointer(name, self.error)
            if expand_home(name).is_dir():
                raise self._error(f"{name} is a folder; a {self.noun} is a .toml file.", "unreadable")
            return expand_home(name).read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            hint = f" Did you mean '{Path(name).stem}', which is built in?" if Path(name).stem in self.names() else ""
            raise self._error(f"There is no {self.noun} file {name}.{hint}", "unreadable") from None
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise self._error(f"The {self.noun} {name} cannot be read: {reason}.", "unreadable") from None

    def parse(self, text: str, origin: str) -> dict[str, Any]:
        """Parse TOML text. Errors name ``origin``. Raises ``NOUN-value``."""
        try:
            return parse_toml(text)
        except ValueError as error:
            raise self._error(f"The {self.noun} {origin} is not valid TOML: {error}.") from None

    def check(self, model: type[M], content: Mapping[str, Any], origin: str) -> M:
        """Check parsed content and return it as ``model``. Errors name ``origin``. Raises ``NOUN-value``."""
        try:
            # Through JSON, types are strict but a list may be a tuple. TOML dates become text and fail.
            # Numbers of NumPy, as in `for seed in np.arange(3)`, become Python's.
            text = json.dumps(content, default=lambda value: value.tolist() if hasattr(value, "tolist") else str(value))
        except (ValueError, RecursionError):
            # TOML's hexadecimal numbers can be of any length; Python writes at most 4300 digits.
            raise self._error(f"The {self.noun} {origin} has a number too long, or brackets nested too deep.") from None
        try:
            return model.model_validate_json(text, strict=True)
        except ValidationError as error:
            raise self._explained(error, model, origin) from None

    def _explained(self, error: ValidationError, model: type[BaseModel], origin: str) -> MienError:
        """Describe the first fault in one line. A misspelt key is named before the missing one."""
        faults = error.errors()
        # If a key takes a word or a table, explain what was given.
        faults = [each for each in faults if each["type"] != "literal_error" or type(each["input"]) is str] or faults
        fault = next((each for each in faults if each["type"] == "extra_forbidden"), faults[0])
        where, what = place(fault["loc"]), f"The {self.noun} {origin}"
        if fault["type"] == "extra_forbidden":
            return self._error(f"{what} {fault_text(fault)}.{self._nearest(model, fault['loc'])}")
        if fault["type"] == "value_error":
            table = f"{what}: [{where}]" if where else what
            value = f"{what} has {where} = {value_text(fault['input'])}"
            said = f"{table} is not possible" if isinstance(fault["input"], Mapping) else value
            return self._error(sentence(f"{said}: {rule_of(fault)}"))
        if fault["loc"][-1] == "[key]":
            return self._error(f"{what} has {place(fault['loc'][:-1])}: this name {rule_of(fault)}.")
        return self._error(f"{what} {fault_text(fault)}.")

    def key_of(self, model: type[BaseModel], name: str) -> str:
        """Return the dotted key for a bare name, ``"lr"`` -> ``"optim.lr"``, or ``""`` if there is none."""
        if name in self.also_called or name in model.model_fields:
            return self.also_called.get(name, name)
        for table, info in _fields(model).items():
            if any(name in _fields(each) for each in _models(info.annotation)):
                return f"{table}.{name}"
        return ""

    def _nearest(self, model: type[BaseModel], location: tuple[int | str, ...]) -> str:
        """Suggest a key similar to the last part of ``location``; it may be in another table."""
        *path, last = location
        siblings = model
        for part in path:
            info = _fields(siblings).get(str(part)) if isinstance(part, str) else None
            siblings = next(_models(info.annotation), siblings) if info else siblings
        if key := self.key_of(model, str(last)):
            return f" Did you mean '{key}'?"
        return nearest(str(last), _fields(siblings), f"{place(path)}." if path else "")

    def _error(self, message: str, fault: str = "value") -> MienError:
        return self.error(message, code=f"{self.noun.split()[-1]}-{fault}")


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML text. Raises ValueError (as ``tomllib.TOMLDecodeError``), also for brackets nested too deep."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:  # Python's own message is about a setting of Python
        raise ValueError("a number has too many digits") from None
    except RecursionError:
        raise ValueError("brackets are nested too deep") from None


def dump_toml(content: Mapping[str, Any]) -> str:
    """Write values and tables of values as TOML. Lists stay on one line, as in ``[[0.4, 28], [0.7, 36]]``."""
    lines = [f"{_key(key)} = {toml_value(value)}" for key, value in content.items() if not isinstance(value, Mapping)]
    for key, table in content.items():
        if isinstance(table, Mapping):
            lines += ["", f"[{_key(key)}]", *(f"{_key(inner)} = {toml_value(value)}" for inner, value in table.items())]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else toml_value(name)


def toml_value(value: Any) -> str:
    """Write a value as TOML on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {toml_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(each) for each in value) + "]"
    value = getattr(value, "item", lambda: value)()  # a scalar of NumPy
    # Escape the bytes that are not UTF-8. JSON's scalars are valid TOML except for one character.
    return json.dumps(plain(value) if isinstance(value, str) else value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {info.alias or name: info for name, info in model.model_fields.items()}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models in a field's type: the type itself, or members of a list, table or optional type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)
