"""How the audit's time grows: `python benchmarks/audit.py [10000 ...]` prints a line for each number of faces.

Rendered faces, each number of them in a fresh process: everything that `mien audit` does without a model, from faces to
the written page, on one thread. Faces are drawn ten thousand at a time into a file, which the audit sees as a memory
map. Seconds are of the processor, which other work on the machine disturbs less than the clock's. "over n log n" is the
time over that of the first line, divided by the growth of n log n: at most 1 where time grows no faster than that. At
the end stands the exponent of the power of n that fits the seconds best, beside that of n log n over the same numbers.

`--keep FILE` keeps every finished line; the same command goes on behind the last. `--data PATH` measures your own data.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from mien.auditing.page import write_audit
from mien.auditing.run import audit_faces, find_copies
from mien.data.dataset import Dataset
from mien.data.read import load_dataset
from mien.data.synthetic import synthetic_faces

COUNTS = (10_000, 20_000, 50_000, 100_000, 200_000)
AT_A_TIME = 10_000


def drawn(count: int, folder: Path) -> Dataset:
    """Rendered faces whose pictures are a file, of which the system keeps in memory what it has room for."""
    images, parts = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (count, 48, 48)), []
    for first in range(0, count, AT_A_TIME):
        part = synthetic_faces(min(AT_A_TIME, count - first), seed=first)
        images[first : first + len(part)] = part.images
        parts.append((part.labels, part.split))
    images.flush()
    labels, split = (np.concatenate(each) for each in zip(*parts, strict=True))
    rows = np.arange(count, dtype=np.int64)
    mapped = np.load(folder / "images.npy", mmap_mode="r")
    return Dataset(mapped, labels, part.classes, split, rows.astype(str), rows)


def measure(source: str) -> dict[str, float]:
    """Audit so many rendered faces, or the data at a path, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        faces = drawn(int(source), Path(folder)) if source.isdecimal() else load_dataset(source)
        times = [(time.process_time(), time.perf_counter())]
        copies = find_copies(faces)
        times.append((time.process_time(), time.perf_counter()))
        write_audit(Path(folder) / "audit", audit_faces(faces, copies), title="benchmark", facts={})
        times.append((time.process_time(), time.perf_counter()))
    return {
        "faces": len(faces),
        "copies_seconds": times[1][0] - times[0][0],
        "seconds": times[2][0] - times[0][0],
        "wall_seconds": times[2][1] - times[0][1],
        "compared": copies.near.compared,
        "pairs": len(copies.near.first),
        # The kernel's high-water mark of resident memory (Linux), pictures that are mapped and loaded included.
        "peak_mb": int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024,
    }


def measure_afresh(source: str) -> dict[str, float]:
    """The same in a fresh process, on one thread."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    command = [sys.executable, __file__, "--one", source]
    done = subprocess.run(command, env={**os.environ, **threads}, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def kept_lines(file: Path | None) -> dict[str, dict[str, float]]:
    """What was measured before, by its source; a last line that was cut off is left out."""
    if file is None or not file.is_file():
        return {}
    lines = [line for line in file.read_text().splitlines() if line.endswith("}")]
    return {each.pop("source"): each for each in map(json.loads, lines)}


def exponent(counts: list[float], values: list[float]) -> float:
    """The power of n that fits best, by least squares on logarithms."""
    return float(np.polyfit(np.log(counts), np.log(values), 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("counts", nargs="*", type=int, default=COUNTS)
    parser.add_argument("--data")
    parser.add_argument("--keep", type=Path, metavar="FILE")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one)))
        return
    kept, found = kept_lines(arguments.keep), []
    print("faces   seconds   of these for copies   pairs aligned   flagged   peak MB   by the clock   over n log n")
    for source in [arguments.data] if arguments.data else map(str, arguments.counts):
        line = kept.get(source) or measure_afresh(source)
        if arguments.keep and source not in kept:
            with arguments.keep.open("a") as stream:
                stream.write(json.dumps({"source": source, **line}) + "\n")
        found.append(line)
        first = found[0]
        expected = line["faces"] * math.log(line["faces"]) / (first["faces"] * math.log(first["faces"]))
        print(
            f"{line['faces']:,}   {line['seconds']:.1f}   {line['copies_seconds']:.1f}   {line['compared']:,}   "
            f"{line['pairs']:,}   {line['peak_mb']:,.0f}   {line['wall_seconds']:.0f}   "
            f"{line['seconds'] / first['seconds'] / expected:.2f}",
            flush=True,
        )
    if len(found) > 1:
        counts = [line["faces"] for line in found]
        fitted = exponent(counts, [line["seconds"] for line in found])
        print(f"seconds grow as n^{fitted:.2f}; n log n as n^{exponent(counts, [n * math.log(n) for n in counts]):.2f}")


if __name__ == "__main__":
    main()
