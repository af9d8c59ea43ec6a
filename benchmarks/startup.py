"""How light mien is: seconds of its first command, photo and answer over HTTP, megabytes of a core environment.

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
import urllib.request
import venv
from pathlib import Path

from PIL import Image
from skimage import data

ROOT = Path(__file__).parents[1]


def median_seconds(*words: str) -> float:
    times = []
    for _ in range(9):
        began = time.perf_counter()
        subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def seconds_to_an_answer() -> float:
    times = []
    for _ in range(9):
        began = time.perf_counter()
        command = [sys.executable, "-m", "mien", "serve", "--port", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as service:
            address = service.stderr.readline().split()[0]
            urllib.request.urlopen(f"{address}/healthz").close()
            times.append(time.perf_counter() - began)
            service.terminate()
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
    print(f"bare interpreter  {median_seconds('-c', 'pass'):.3f} s")
    print(f"import mien       {median_seconds('-c', 'import mien'):.3f} s  (limit: 0.1 s)")
    print(f"mien --help       {median_seconds('-m', 'mien', '--help'):.3f} s  (limit: 0.3 s)")
    with tempfile.TemporaryDirectory() as folder:
        photo = f"{folder}/photo.jpg"
        Image.fromarray(data.astronaut()).save(photo)
        print(f"mien predict      {median_seconds('-m', 'mien', 'predict', photo):.3f} s  (limit: 0.6 s)")
    print(f"mien serve        {seconds_to_an_answer():.3f} s  (limit: 1.5 s)")
    if wanted.environment:
        print(f"core environment  {core_megabytes():.0f} MB beside a bare one  (limit: 250 MB)")


if __name__ == "__main__":
    main()
