"""How light the core is: seconds of `import mien` and `mien --help`, megabytes of a core environment.

    python benchmarks/startup.py [--environment]

Each time is the median of nine fresh processes, beside a bare interpreter's, because absolute times differ between
machines. --environment makes a fresh virtual environment with the core install (a minute, package index needed).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]


def median_seconds(*command: str) -> float:
    times = []
    for _ in range(9):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def core_megabytes() -> float:
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        before = size(Path(folder))
        pip = [f"{folder}/bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "-c", str(ROOT / "constraints.txt"), str(ROOT)], check=True)
        subprocess.run([f"{folder}/bin/mien", "--version"], check=True, stdout=subprocess.DEVNULL)
        return (size(Path(folder)) - before) / 1e6


def size(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environment", action="store_true", help="measure a fresh core environment too")
    wanted = parser.parse_args()
    bare = median_seconds(sys.executable, "-c", "pass")
    imported = median_seconds(sys.executable, "-c", "import mien")
    helped = median_seconds(sys.executable, "-m", "mien", "--help")
    print(f"bare interpreter  {bare:.3f} s")
    print(f"import mien       {imported:.3f} s  (limit: 0.15 s)")
    print(f"mien --help       {helped:.3f} s  (limit: 0.3 s)")
    if wanted.environment:
        print(f"core environment  {core_megabytes():.0f} MB beside a bare one  (limit: 250 MB)")


if __name__ == "__main__":
    main()
