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
from mien.base.run_folder import HISTORY_COLUMNS
from mien.inference.output_files import FACE_COLUMNS, SCORE_COLUMN
from mien.inference.prediction import prediction_fields

KEPT = Path(__file__).with_name("stability.json")


def surface():
    """Each promised thing by its place, and what belongs to it."""
    from mien.serve.app import create_app

    homes = {"mien": {name: getattr(mien, name) for name in mien.__all__}, "mien.faces": vars(mien.faces)}
    things = {f"{at}.{name}": each for at, names in homes.items() for name, each in names.items() if callable(each)}
    things["mien.serve.app.create_app"] = create_app
    found = {"python": sorted(things)}
    for name, thing in things.items():
        found[f"python {name}"] = members(thing)
        found[f"python {name} call"] = [] if isinstance(thing, type) else call(thing)
    help_page = (Path(__file__).parents[1] / "docs" / "cli.md").read_text(encoding="utf-8")
    for part in re.split(r"^## mien ", help_page, flags=re.MULTILINE)[1:]:
        found[f"cli {part.splitlines()[0]}"] = sorted(set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", part, re.MULTILINE)))
    found["cli exit codes"] = sorted(set(re.findall(r"exit code (?:is )?(\d+)", help_page)))
    found["table predict"] = ["source", "detector", *FACE_COLUMNS, SCORE_COLUMN, *prediction_fields("", True, ())]
    found["table history.csv"] = [*HISTORY_COLUMNS]
    engine = (Path(__file__).parents[1] / "web" / "src" / "package" / "engine.ts").read_text(encoding="utf-8")
    found["npm mien-web"] = sorted(
        {
            name
            for names in re.findall(r"^export (?:type )?\{([^}]*)\}", engine, re.M)
            for name in re.findall(r"\w+", names)
        }
        | set(re.findall(r"^export (?:async )?(?:function|class|const|interface|type) (\w+)", engine, re.MULTILINE))
    )
    document = create_app(threads=1).openapi()
    for path, methods in document["paths"].items():
        for method, about in methods.items():
            names = (each["name"] for each in about.get("parameters", []))
            found[f"http {method} {path}"] = [about["operationId"], *names]
    for name, schema in document["components"]["schemas"].items():
        found[f"json {name}"] = sorted(schema.get("properties", {}))
        enums = (one.get("enum", []) for one in schema.get("properties", {}).values())
        found[f"json {name} values"] = sorted({each for one in enums for each in one})
    schema = Recipe.model_json_schema()
    for name, part in {"Recipe": schema, **schema["$defs"]}.items():
        found[f"recipe {name}"] = sorted(part.get("properties", {}))
    return {place: names for place, names in found.items() if names}


def call(function):
    """Parameters that may be given by position, with their place, and defaults."""
    shown = []
    for place, each in enumerate(inspect.signature(function).parameters.values()):
        shown += [f"{place} {each.name}"] if each.kind is each.POSITIONAL_OR_KEYWORD else []
        simple = each.default is None or isinstance(each.default, str | int | float | tuple)
        shown += [f"{each.name}={each.default!r}"] if simple else []
    return shown


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
