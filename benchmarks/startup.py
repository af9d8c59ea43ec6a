"""How light mien is: seconds of its first command, photo and answer over HTTP, megabytes of a core environment.

    python benchmarks/startup.py [--environment]

Each time is the median of nine fresh processes, beside a bare interpreter's, because absolute times differ between
machines. --environment makes a fresh virtual environment with the core install instead (a minute; needs the index)
and writes its size into README.md; it fails above LIMIT_MB, or where README says otherwise by over 3 MB (CI runs it).
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from skimage import data

LIMIT_MB = 224
README = Path(__file__).parents[1] / "README.md"
STATED = re.compile(r"(?<=light core, )\d+(?= MB)")


def run(*words: str) -> None:
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)


def ask_a_service() -> None:
    command = [sys.executable, "-m", "mien", "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as service:
        assert service.stderr
        urllib.request.urlopen(f"{service.stderr.readline().split()[0]}/healthz").close()
        service.kill()


def median_seconds(work: Callable[..., None], *words: str) -> float:
    times = []
    for _ in range(9):
        began = time.perf_counter()
        work(*words)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def core_megabytes() -> float:
    root, sizes = Path(__file__).parents[1], []
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        pip = [f"{folder}/bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        mien = [*pip, "-c", str(root / "constraints.txt"), str(root)]
        for command in ([f"{folder}/bin/python", "--version"], mien, [f"{folder}/bin/mien", "--version"]):
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            sizes.append(sum(file.lstat().st_size for file in Path(folder).rglob("*") if not file.is_dir()))
    return (sizes[-1] - sizes[0]) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environment", action="store_true", help="measure a fresh core environment")
    if parser.parse_args().environment:
        size, text = round(core_megabytes()), README.read_text(encoding="utf-8")
        stated = int(STATED.findall(text)[0])
        if size != stated:  # tests may read it meanwhile
            README.write_text(STATED.sub(str(size), text), encoding="utf-8")
        sys.exit(
            f"core environment: {size} MB beside a bare one (limit: {LIMIT_MB}), {stated} in README"
            if size > LIMIT_MB or abs(size - stated) > 3
            else 0
        )
    with tempfile.TemporaryDirectory() as folder:
        photo = f"{folder}/photo.jpg"
        Image.fromarray(data.astronaut()).save(photo)
        for name, limit, *work in (
            ("bare interpreter", "none", run, "-c", "pass"),
            ("import mien", "0.05 s", run, "-c", "import mien"),
            ("mien --help", "0.3 s", run, "-m", "mien", "--help"),
            ("mien predict", "0.4 s", run, "-m", "mien", "predict", photo),
            ("mien serve", "1.5 s", ask_a_service),
        ):
            print(f"{name:16}  {median_seconds(*work):.3f} s  (limit: {limit})")


if __name__ == "__main__":
    main()
