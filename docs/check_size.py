"""Keep mien from growing: ``make lint`` runs it. With ``--write`` it puts the sizes into ARCHITECTURE.md.

The limits are a budget: a change that adds lines to a full one takes away as many.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from mien.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
ARCHITECTURE = ROOT / "ARCHITECTURE.md"
STATED = re.compile(r"`src/mien` has ([\d,]+) lines in ([\d,]+) files, `tests/` ([\d,]+)\.")
TOLERANCE = 0.03
"""By how much the sizes in ARCHITECTURE.md may differ from what is there."""

LIMITS = {
    "lines of src/mien": 33_170,
    "files of src/mien": 162,
    "lines of tests": 23_594,
    "lines of code in src/mien, without docstrings, comments and blank lines": 22_145,
    "lines of web (TypeScript, CSS, HTML, JavaScript, with their tests)": 10_496,
    "lines of scripts (docs, release, benchmarks, web/scripts)": 1_887,
    "words of docs and README, without cli.md": 31_991,
    "MB of benchmarks/results": 2,
    "commands": 22,
}


def main() -> int:
    """Print each size that is above its limit, and stated sizes that are not true; 1 where there is any."""
    found = sizes()
    if "--write" in sys.argv:
        _write(found)
    faults = [f"{size:,} {name}; at most {LIMITS[name]:,}" for name, size in found.items() if size > LIMITS[name]]
    pages = "".join(page.read_text(encoding="utf-8") for page in (ARCHITECTURE, ROOT / "CONTRIBUTING.md"))
    known = "\n/".join(["", *_listed()])
    named = re.findall(r"`([\w./-]+\.(?:pyi?|ts))`", pages)
    faults += [f"A page names {name}, which is not there" for name in named if f"/{name}\n" not in known]
    stated = STATED.search(pages)
    numbers = [] if stated is None else [int(each.replace(",", "")) for each in stated.groups()]
    if not numbers or any(abs(a - b) > TOLERANCE * b for a, b in zip(numbers, found.values(), strict=False)):
        faults.append("ARCHITECTURE.md states other sizes: make docs")
    sys.stdout.writelines(f"{each}\n" for each in faults)
    return int(bool(faults))


def _write(found: dict[str, float]) -> None:
    """State lines of src, its files, and lines of tests; lines in hundreds."""
    lines, files, tests = list(found.values())[:3]
    text = f"`src/mien` has {round(lines, -2):,} lines in {files} files, `tests/` {round(tests, -2):,}."
    ARCHITECTURE.write_text(STATED.sub(text, ARCHITECTURE.read_text(encoding="utf-8")), encoding="utf-8")


def sizes() -> dict[str, float]:
    """The numbers of the files that git knows, by their names in LIMITS."""
    files = [file for file in map(ROOT.joinpath, _listed()) if file.is_file()]

    def inside(folder: str, suffix: str = ".py") -> list[Path]:
        return [file for file in files if file.is_relative_to(ROOT / folder) and file.suffix == suffix]

    scripts = [file for folder in ("docs", "release", "benchmarks", "web/scripts") for file in inside(folder)]
    made = {ROOT / "docs" / "cli.md", *inside("docs/api", ".md")}
    pages = [ROOT / "README.md", *(file for file in inside("docs", ".md") if file not in made)]
    results = [file for file in files if file.is_relative_to(ROOT / "benchmarks" / "results")]
    numbers = (
        _lines(inside("src/mien")),
        len(inside("src/mien")),
        _lines(inside("tests")),
        sum(map(_code_lines, inside("src/mien"))),
        _lines(file for suffix in (".ts", ".css", ".html", ".js") for file in inside("web", suffix)),
        _lines(scripts),
        sum(len(file.read_text(encoding="utf-8").split()) for file in pages),
        round(sum(file.stat().st_size for file in results) / 1e6, 1),
        len(COMMANDS),
    )
    return dict(zip(LIMITS, numbers, strict=True))


def _listed() -> list[str]:
    return subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")


def _code_lines(file: Path) -> int:
    text = file.read_text(encoding="utf-8")
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Expr)]
    notes = [node for node in nodes if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)]
    left_out = {line for node in notes for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    lines = [line.strip() for number, line in enumerate(text.splitlines(), 1) if number not in left_out]
    return sum(1 for line in lines if line and not line.startswith("#"))


def _lines(files: Iterable[Path]) -> int:
    return sum(file.read_text(encoding="utf-8").count("\n") for file in files)


if __name__ == "__main__":
    sys.exit(main())
