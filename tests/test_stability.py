"""What docs/stability.md promises is still there: names, parameters, options, addresses, fields.

Oracle: ``stability.json``, kept at the last release; ``python tests/test_stability.py`` writes it anew. What is added
is no break; what is missing is one, and CHANGELOG.md says so.
"""

import inspect
import json
import re
from pathlib import Path

import pytest

import mien
from mien.base.recipe import Recipe

KEPT = Path(__file__).with_name("stability.json")


def surface():
    """Each promised thing by its place, and what belongs to it."""
    from mien.serve.app import create_app

    found = {f"python {name}": members(getattr(mien, name)) for name in mien.__all__}
    help_page = (Path(__file__).parents[1] / "docs" / "cli.md").read_text(encoding="utf-8")
    for part in re.split(r"^## mien ", help_page, flags=re.MULTILINE)[1:]:
        found[f"cli {part.splitlines()[0]}"] = sorted(set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", part, re.MULTILINE)))
    document = create_app(threads=1).openapi()
    for path, methods in document["paths"].items():
        for method, about in methods.items():
            found[f"http {method} {path}"] = [
                about["operationId"],
                *(each["name"] for each in about.get("parameters", [])),
            ]
    for name, schema in document["components"]["schemas"].items():
        found[f"json {name}"] = sorted(schema.get("properties", {}))
        found[f"json {name} values"] = sorted(
            {each for one in schema.get("properties", {}).values() for each in one.get("enum", [])}
        )
    schema = Recipe.model_json_schema()
    for name, part in {"Recipe": schema, **schema["$defs"]}.items():
        found[f"recipe {name}"] = sorted(part.get("properties", {}))
    return {place: names for place, names in found.items() if names}


def members(thing):
    """Parameters of a function; of a class its public attributes too."""
    if not callable(thing):
        return []
    own = [each for each in getattr(thing, "__mro__", ()) if each.__module__.startswith("mien")]
    names = [name for each in own for name in vars(each) if not name.startswith(("_", "model_config"))]
    fields = getattr(thing, "__dataclass_fields__", {})
    try:
        parameters = inspect.signature(thing).parameters.values()
    except ValueError:
        parameters = ()
    return sorted({*names, *fields, *(each.name for each in parameters)} - {"args", "kwargs"})


def test_nothing_that_is_promised_is_missing():
    pytest.importorskip("fastapi")
    kept, now = json.loads(KEPT.read_text(encoding="utf-8")), surface()
    gone = {place: sorted(missing) for place, names in kept.items() if (missing := {*names} - {*now.get(place, [])})}
    assert gone == {}, "see docs/stability.md; python tests/test_stability.py keeps what is there now"


if __name__ == "__main__":
    lines = ",\n".join(f"{json.dumps(place)}: {json.dumps(names)}" for place, names in surface().items())
    KEPT.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
