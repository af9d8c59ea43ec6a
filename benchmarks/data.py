"""How fast real data opens: `python benchmarks/data.py` prints four lines, about a minute on one core.

Faces are random noise of FER2013's size (35,887 rows of 48x48), written to a temporary folder; each measurement is a
fresh process on one thread, so that memory and caches of one do not show in another.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from mien.base.labels import EXPRESSIONS

ROWS, SIDE_PX = 35_887, 48
USAGES = ("Training",) * 8 + ("PublicTest", "PrivateTest")

# The kernel's high-water mark of resident memory (Linux). ru_maxrss would do, but a child starts with its parent's.
# What is imported before counts as the process, what the reading adds as the reading.
MEASURE = """
import json, re, sys, time
from pathlib import Path
from mien.data.read import read_data
def peak_kib():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
before_kib = peak_kib()
wall, cpu = time.perf_counter(), time.process_time()
result = read_data(sys.argv[1], cache=sys.argv[2] == "cache")
print(json.dumps({
    "wall_seconds": time.perf_counter() - wall,
    "cpu_seconds": time.process_time() - cpu,
    "memory_ratio": (peak_kib() - before_kib) * 1024 / result.faces.images.nbytes,
    "cached": result.cached,
    "faces": len(result.faces),
}))
"""
PANDAS = """
import sys, time, warnings
import numpy, pandas
warnings.simplefilter("ignore", DeprecationWarning)
cpu = time.process_time()
images = [numpy.fromstring(row, numpy.uint8, sep=" ") for row in pandas.read_csv(sys.argv[1])["pixels"]]
print(len(numpy.stack(images)) / (time.process_time() - cpu))
"""


def write_csv(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    with path.open("w") as stream:
        stream.write("emotion,pixels,Usage\n")
        for row, (image, label) in enumerate(zip(images, labels, strict=True)):
            pixels = " ".join(map(str, image.ravel().tolist()))
            stream.write(f"{label},{pixels},{USAGES[row % len(USAGES)]}\n")


def write_tree(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    for row, (image, label) in enumerate(zip(images, labels, strict=True)):
        usage = USAGES[row % len(USAGES)]
        class_folder = folder / ("train" if usage == "Training" else "test") / EXPRESSIONS[label]
        class_folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(class_folder / f"{usage}_{row}.bmp")


def measure(path: Path, cache_folder: Path, use_cache: bool) -> dict[str, float]:
    environment = {**os.environ, "MIEN_CACHE": str(cache_folder), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", MEASURE, str(path), "cache" if use_cache else "no cache"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def main() -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (ROWS, SIDE_PX, SIDE_PX), dtype=np.uint8)
    labels = generator.integers(0, len(EXPRESSIONS), ROWS)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_csv(folder / "fer2013.csv", images, labels)
        write_tree(folder / "tree", images, labels)
        cache_folder = folder / "cache"
        csv = measure(folder / "fer2013.csv", cache_folder, use_cache=False)
        print(
            f"Kaggle CSV: {csv['faces'] / csv['cpu_seconds']:,.0f} rows/s on one core, "
            f"peak memory {csv['memory_ratio']:.2f} x the image array"
        )
        command = [sys.executable, "-c", PANDAS, str(folder / "fer2013.csv")]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        print(f"the same by pandas and np.fromstring: {float(done.stdout):,.0f} rows/s")
        for name in ("fer2013.csv", "tree"):
            first = measure(folder / name, cache_folder, use_cache=True)
            again = [measure(folder / name, cache_folder, use_cache=True) for _ in range(5)]
            assert not first["cached"]
            assert all(each["cached"] for each in again)
            seconds = sorted(each["wall_seconds"] for each in again)
            print(
                f"{name}: first reading {first['wall_seconds']:.2f} s, reopened from the cache in "
                f"{seconds[2]:.3f} s (median of 5, worst {seconds[-1]:.3f})"
            )


if __name__ == "__main__":
    main()
