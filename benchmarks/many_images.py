"""Many small images with and without Ray: `python benchmarks/many_images.py [--images N]`, needs mien[scale].

Draws N face crops (200,000 by default) as PNG files and predicts them: by a plain loop over the parts in one process,
by one worker of Ray, and by two workers of which one is killed twice. A rate is that of the parts between the first one
that is done and the last, so that neither Ray's start nor the model's counts. Every row has to be the plain loop's.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
from PIL import Image

from mien.data.synthetic import draw_labels, render_chunks
from mien.inference.parts import PartsJob, PartWorker, open_parts, part_file, pending_parts

SIDE_PX, PER_FOLDER, MODEL = 48, 2000, "fast-int8"
PLAIN = "plain"


def draw(folder: Path, count: int) -> None:
    """Write the crops, so many to a folder."""
    blocks = render_chunks(draw_labels(count, seed=0), 0, SIDE_PX, 1, PER_FOLDER)
    for number, block in enumerate(blocks):
        below = folder / f"{number:04}"
        below.mkdir(parents=True)
        for index, image in enumerate(np.asarray(block)):
            Image.fromarray(image).save(below / f"{index:04}.png", compress_level=1)


def plain(base: Path) -> None:
    """All parts, one after another, in this process."""
    job = PartsJob(base / PLAIN, ("crops",), base, MODEL, crops=True)
    with open_parts(job, {}) as count:
        worker = PartWorker(job)
        for part in pending_parts(job.folder, count):
            worker.write(part)


def start(base: Path, out: str, workers: int) -> subprocess.Popen[bytes]:
    """The command, in a session of its own."""
    words = ["-m", "mien", "predict", "crops", "--crops", "--model", MODEL, "--engine", "ray", "--quiet"]
    words += ["--workers", str(workers), "--out", out]
    return subprocess.Popen([sys.executable, *words], cwd=base, start_new_session=True)


def finished(folder: Path) -> list[float]:
    """When each finished part was, in seconds, sorted."""
    return sorted(file.stat().st_mtime for file in folder.glob("images/part-*.parquet"))


def rate(folder: Path) -> float:
    """Images a second between the first part and the last."""
    when = finished(folder)
    files = sorted(folder.glob("images/part-*.parquet"), key=lambda file: file.stat().st_mtime)
    return sum(parquet.ParquetFile(file).metadata.num_rows for file in files[1:]) / (when[-1] - when[0])


def workers_of() -> dict[int, float]:
    """Ray's workers that predict, and the most memory of its own that each has now, in GB."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if b"MapWorker" in (entry / "cmdline").read_bytes():
                status = (entry / "status").read_text()
                own = re.search(r"RssAnon:\s+(\d+)", status)
                found[int(entry.name)] = int(own[1]) * 1024 / 1e9 if own else 0.0
        except OSError:
            continue
    return found


def watch(process: subprocess.Popen[bytes], folder: Path, kills: tuple[int, ...]) -> tuple[int, float]:
    """Wait for the end, and kill a worker when so many parts are done. How many were killed, and a worker's most GB."""
    killed, most = 0, 0.0
    while process.poll() is None:
        workers = workers_of()
        most = max([most, *workers.values()])
        if workers and killed < len(kills) and len(finished(folder)) >= kills[killed]:
            os.kill(min(workers), signal.SIGKILL)
            killed += 1
        time.sleep(0.2)
    if process.returncode:
        raise SystemExit(f"The command ended with exit code {process.returncode}.")
    return killed, most


def same_rows(one: Path, other: Path) -> bool:
    """Whether two folders have the same tables, part by part."""
    parts = range(len(finished(one)))
    return len(finished(other)) == len(parts) and all(
        parquet.read_table(part_file(one, table, part)).equals(parquet.read_table(part_file(other, table, part)))
        for table in ("faces", "images")
        for part in parts
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200_000, metavar="N")
    parser.add_argument("--folder", help="on a real disk; the system's temporary folder by default")
    parser.add_argument("--plain-in", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    if options.plain_in is not None:
        plain(options.plain_in)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        base = Path(name)
        begun = time.perf_counter()
        draw(base / "crops", options.images)
        print(f"drawn: {options.images:,} crops in {time.perf_counter() - begun:.0f} s", flush=True)
        subprocess.run([sys.executable, __file__, "--plain-in", name], check=True)
        loop = rate(base / PLAIN)
        print(f"plain loop, one process: {loop:,.0f} images/s", flush=True)
        for workers, kills in ((1, ()), (2, (10, 20))):
            out = base / f"ray-{workers}"
            begun = time.perf_counter()
            killed, most = watch(start(base, out.name, workers), out, kills)
            seconds, each = time.perf_counter() - begun, rate(out) / workers
            print(
                f"Ray, {workers} workers, {killed} killed: {each:,.0f} images/s a worker, {each / loop:.2f} of the "
                f"loop; {seconds:.0f} s in all, {most:.2f} GB of its own in a worker at most; "
                f"{'the same rows' if same_rows(base / PLAIN, out) else 'OTHER ROWS'}",
                flush=True,
            )
        hours = 1e6 / loop / 3600
        print(f"a million crops: {hours * 60:.1f} minutes of one core; {hours * 60 / 64:.2f} minutes on 64 cores")


if __name__ == "__main__":
    main()
