"""Write docs/api/*.md, the Python reference, from signatures and docstrings. A test fails when a page is stale."""

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mien
from mien.base import arrays

FOLDER = Path(__file__).parent / "api"
_STUB = (FOLDER.parents[1] / "src" / "mien" / "__init__.pyi").read_text(encoding="utf-8")
PAGES = {
    **{
        page: " ".join(re.findall(r"(\w+)\n", names))
        for page, names in re.findall(r"^# (\w+)\n((?:from .*\n)+)", _STUB, re.M)
    },
    "faces": "faces.detect faces.find_detector faces.Detector faces.Face faces.Box faces.Margin",
}
"""The public names of each page."""

_ARRAYS = dict(re.findall(r"^(\w+): TypeAlias = (npt.*)$", inspect.getsource(arrays), re.MULTILINE))
_ARRAYS["Settings"] = "Mapping[str, Any] | Sequence[Change] | None"
"""Types of arrays, and of changes to a recipe, which a reader sees in full."""
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SECTIONS = ("Args", "Attributes", "Returns", "Raises", "Yields")


def page(name: str) -> str:
    """One page as Markdown."""
    head = f"# {name.capitalize()}\n\n`make docs` makes this page from the docstrings. [All pages](../python.md)\n"
    return head + "".join(entry(public) for public in PAGES[name].split())


def entry(public: str) -> str:
    """The section of a function or class, with its members."""
    thing: Any = mien
    for part in public.split("."):
        thing = getattr(thing, part)
    text = f"\n## {public}\n"
    if not isinstance(thing, type):
        return text + signature(f"mien.{public}", thing) + words(thing)
    if inspect.isfunction(vars(thing).get("__init__")) and not hasattr(thing, "__dataclass_fields__"):
        text += signature(f"mien.{public}", vars(thing)["__init__"])
    text += words(thing)
    for base in thing.__mro__[1:]:
        if base.__module__.startswith("mien") and "Attributes:" in (base.__doc__ or ""):
            text += words(base).partition("\n**Attributes**")[2].join(("\n**Inherited attributes**", ""))
    for name, member in members(thing):
        function = member.fget if isinstance(member, property) else getattr(member, "func", member)
        function = getattr(function, "__func__", function)
        text += f"\n### {public}.{name}\n"
        if not (isinstance(member, property) or hasattr(member, "func")):
            text += signature(f"{public.rpartition('.')[2]}.{name}", function)
        text += words(function)
    return text


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties of a class in the order of its source, inherited ones last."""
    seen: set[str] = set()
    for base in kind.__mro__:
        for name, member in vars(base).items() if base.__module__.startswith("mien") else ():
            is_member = callable(member) or isinstance(member, property | classmethod | staticmethod)
            if not name.startswith(("_", "model_")) and name not in seen and (is_member or hasattr(member, "func")):
                seen.add(name)
                if not isinstance(member, type):
                    yield name, member


def signature(name: str, function: Any) -> str:
    """The call of a function as its source declares it; on several lines if it is long."""
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
    source = re.sub(rf"\b({'|'.join(_ARRAYS)})\b", lambda name: _ARRAYS[name[0]], source)
    source = re.sub(r'(-> |\w: )"([A-Z][\w. |]*)"', r"\1\2", source)  # a type that is declared later
    node = next(each for each in ast.walk(ast.parse(source)) if isinstance(each, _FUNCTIONS))
    parameters = list(_parameters(node.args))
    returns = f" -> {ast.unparse(node.returns)}" if node.returns and node.name != "__init__" else ""
    call = f"{name}({', '.join(parameters)}){returns}"
    if len(call) > 100:
        call = f"{name}(\n{''.join(f'    {each},{chr(10)}' for each in parameters)}){returns}"
    return f"\n```python\n{call}\n```\n"


def _parameters(args: ast.arguments) -> Iterator[str]:
    """Each parameter with its type and default; ``self`` is left out."""
    named = [arg for arg in args.args if arg.arg not in {"self", "cls"}]
    defaults: dict[ast.arg, ast.expr | None] = dict(zip(reversed(args.args), reversed(args.defaults), strict=False))
    defaults |= dict(zip(args.kwonlyargs, args.kw_defaults, strict=True))
    for star, group in (("", named), ("*", [args.vararg]), ("", args.kwonlyargs), ("**", [args.kwarg])):
        if group is args.kwonlyargs and group and not args.vararg:
            yield "*"
        for arg in filter(None, group):
            default = f" = {ast.unparse(value)}" if (value := defaults.get(arg)) else ""
            yield f"{star}{ast.unparse(arg)}{default}".replace("'", '"')


def words(thing: Any) -> str:
    """A docstring in Markdown: its sections become lists, its examples code."""
    text, section = "", ""
    for line in inspect.cleandoc(thing.__doc__ or "").splitlines():
        if line.endswith(":") and line[:-1] in _SECTIONS:
            text, section = f"{text.rstrip()}\n\n**{line[:-1]}**\n\n", line[:-1]
        elif section and re.match(r"    \S", line):
            name, colon, rest = line.strip().partition(":")
            if section in {"Args", "Attributes", "Raises"} and colon:
                text += f"- `{name}`:{rest}\n"
            else:
                text += f"- {line.strip()}\n" if text.endswith("\n\n") else f"  {line.strip()}\n"
        else:
            section = section if line.startswith("  ") or not line else ""
            text += f"  {line.strip()}\n" if section and line else f"{line}\n"
    text = re.sub(r":\w+:`~?(?:mien\.(?:[a-z_]\w*\.)*(?=\w))?([^`]+)`", r"`\1`", text).replace("``", "`")
    text = re.sub(r"^(>>> .*(?:\n(?!\n).+)*)", r"```python\n\1\n```", text, flags=re.MULTILINE)
    return f"\n{text.strip()}\n" if text.strip() else ""


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each in PAGES:
        (FOLDER / f"{each}.md").write_text(page(each), encoding="utf-8")
    sys.stdout.write(f"{FOLDER}\n")
