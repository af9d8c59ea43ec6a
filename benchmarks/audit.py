"""How the audit's time grows: `python benchmarks/audit.py [10000 ...]` prints a line for each number of faces.

Rendered faces, each number of them in a fresh process: everything that `mien audit` does without a model, from faces in
memory to the written page, on one thread. Seconds are of the processor, which other work on the machine disturbs less
than the clock's. The last column is the time over that of the first line, divided by the growth of n log n: at most 1
where time grows no faster than that. `--data PATH` measures your own data instead.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys

COUNTS = (10_000, 20_000, 50_000, 100_000, 200_000)

MEASURE = """
import json, re, sys, tempfile, time
from pathlib import Path
from mien.data.read import read_faces
from mien.data.synthetic import synthetic_faces
from mien.experiments.audit import audit_faces, find_copies
from mien.report.audit_page import write_audit
faces = read_faces(sys.argv[2]) if sys.argv[1] == "data" else synthetic_faces(int(sys.argv[2]), seed=3)
times = [(time.process_time(), time.perf_counter())]
copies = find_copies(faces)
times.append((time.process_time(), time.perf_counter()))
material = audit_faces(faces, copies)
with tempfile.TemporaryDirectory() as folder:
    write_audit(Path(folder), material, title="benchmark", facts={})
times.append((time.process_time(), time.perf_counter()))
print(json.dumps({
    "faces": len(faces),
    "copies_seconds": times[1][0] - times[0][0],
    "seconds": times[2][0] - times[0][0],
    "wall_seconds": times[2][1] - times[0][1],
    "compared": copies.near.compared,
    "pairs": len(copies.near.first),
    # The kernel's high-water mark of resident memory (Linux).
    "peak_mb": int(re.search(r"VmHWM:\\\\s+(\\\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024,
}))
"""


def measure(*source: str) -> dict[str, float]:
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    command = [sys.executable, "-c", MEASURE.replace("\\\\", "\\"), *source]
    done = subprocess.run(command, env={**os.environ, **threads}, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("counts", nargs="*", type=int, default=COUNTS)
    parser.add_argument("--data")
    arguments = parser.parse_args()
    sources = [("data", arguments.data)] if arguments.data else [("drawn", str(count)) for count in arguments.counts]
    first = None
    print("faces   seconds   of these for copies   pairs aligned   flagged   peak MB   wall   growth / n log n")
    for source in sources:
        found = measure(*source)
        first = first or found
        expected = found["faces"] * math.log(found["faces"]) / (first["faces"] * math.log(first["faces"]))
        print(
            f"{found['faces']:,}   {found['seconds']:.1f}   {found['copies_seconds']:.1f}   {found['compared']:,}   "
            f"{found['pairs']:,}   {found['peak_mb']:,.0f}   {found['wall_seconds']:.0f}   "
            f"{found['seconds'] / first['seconds'] / expected:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
