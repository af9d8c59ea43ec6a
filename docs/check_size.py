"""Keep mien from growing: ``make lint`` runs it.

A limit is only raised together with a reason in the commit. Where mien has become smaller, lower it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from mien.cli.commands import COMMANDS

ROOT = Path(__file__).parents[1]

LIMITS = {
    "lines of src/mien": 38_540,
    "files of src/mien": 264,
    "lines of tests": 28_830,
    "lines of scripts (docs, release, benchmarks, web/scripts)": 3_650,
    "words of docs, without cli.md": 37_660,
    "MB of benchmarks/results": 2,
    "commands": 20,
}


def main() -> int:
    """Print each number that is above its limit; 1 where there is any."""
    above = [f"{size:,} {name}; at most {LIMITS[name]:,}" for name, size in sizes().items() if size > LIMITS[name]]
    sys.stdout.writelines(f"{each}\n" for each in above)
    return int(bool(above))


def sizes() -> dict[str, float]:
    """The numbers of the files that git knows, by their names in LIMITS."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [file for file in map(ROOT.joinpath, listed.splitlines()) if file.is_file()]

    def inside(folder: str, suffix: str = ".py") -> list[Path]:
        return [file for file in files if file.is_relative_to(ROOT / folder) and file.suffix == suffix]

    scripts = [file for folder in ("docs", "release", "benchmarks", "web/scripts") for file in inside(folder)]
    pages = [file for file in inside("docs", ".md") if file.name != "cli.md"]
    results = [file for file in files if file.is_relative_to(ROOT / "benchmarks" / "results")]
    numbers = (
        _lines(inside("src/mien")),
        len(inside("src/mien")),
        _lines(inside("tests")),
        _lines(scripts),
        sum(len(file.read_text(encoding="utf-8").split()) for file in pages),
        round(sum(file.stat().st_size for file in results) / 1e6, 1),
        len(COMMANDS),
    )
    return dict(zip(LIMITS, numbers, strict=True))


def _lines(files: Iterable[Path]) -> int:
    return sum(file.read_text(encoding="utf-8").count("\n") for file in files)


if __name__ == "__main__":
    sys.exit(main())
