"""What no other test reads: the site's contents, locked packages, the conda recipe, extras. Oracle: what they name."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mien.version import __version__

ROOT = Path(__file__).parents[1]


def test_every_page_is_in_the_sites_contents_once():
    named = re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(named) == sorted(pages)


def pins(path):
    """Name and version of each pinned package of a file, whatever follows them."""
    lines = re.findall(r"^([\w.-]+)==([\w.]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in lines}


@pytest.mark.parametrize("name", ["core.txt", "serve.txt", "everything.txt"])
def test_every_locked_package_has_digests_and_the_constraints_version(name):
    """Oracle: constraints.txt. `make lock` writes these files after a change there."""
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    constraints, locked = pins(ROOT / "constraints.txt"), pins(ROOT / "requirements" / name)
    entries = re.split(r"\n(?=\S)", text.strip())
    assert len(entries) == len(locked)
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)
    assert {key: version for key, version in locked.items() if constraints.get(key, version) != version} == {}


def dependencies(*extras):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = sum((project["optional-dependencies"][extra] for extra in extras), [*project["dependencies"]])
    return [each for each in map(Requirement, lines) if each.name != "mien"]


def test_whatever_mien_needs_is_locked():
    locked = pins(ROOT / "requirements" / "everything.txt")
    extras = ("train", "report", "audit", "search", "log", "wandb", "mlflow", "scale", "serve")
    for each in dependencies(*extras, "video", "sklearn", "test", "dev"):
        assert each.specifier.contains(locked[canonicalize_name(each.name)]), each


def test_the_kubernetes_example_suits_the_service():
    """Oracle: the container and compose.yaml."""
    text = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
    deployment, service = yaml.safe_load_all(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])
    pod = deployment["spec"]["template"]["spec"]
    composed = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]["mien"]
    assert f"{pod['terminationGracePeriodSeconds']}s" == composed["stop_grace_period"]
    assert pod["containers"][0]["ports"] == [{"containerPort": service["spec"]["ports"][0]["targetPort"]}]
    options = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8").partition("## mien serve\n")[2]
    for option in (word for word in pod["containers"][0]["args"] if word.startswith("--")):
        assert f" {option} " in options.partition("\n## ")[0], option


def test_the_conda_recipe_names_what_the_core_needs():
    recipe = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
    assert recipe["package"]["version"] == __version__
    wanted = {f"{each.name.lower()} {each.specifier}" for each in dependencies()}
    assert set(recipe["requirements"]["run"]) - {"python >=3.11"} == wanted


def test_every_extra_that_a_message_or_page_names_exists():
    """Of an unknown one, pip only warns, and installs nothing."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    files = [*(ROOT / "src").rglob("*.py"), *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    named: dict[str, str] = {}
    for file in files:
        text = file.read_text(encoding="utf-8")
        for names in re.findall(
            r"(?:pip install ['\"]?(?:mien|\.)|needs mien)\[([a-z,]+)\]|needs_extra\(\"([a-z,]+)\"", text
        ):
            named |= dict.fromkeys("".join(names).split(","), file.name)
    assert len(named) > 8
    assert {name: where for name, where in named.items() if name not in extras} == {}
