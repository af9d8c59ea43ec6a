"""Mutate files of strangers and read them: ``python benchmarks/fuzz.py --seconds 600``.

Each input must be read or refused by a MienError of one line, within 30 seconds of processor time and 4 GiB. Anything
else is a finding. Input ``n`` of seed ``s`` is always the same: ``--seed s --first n`` makes a finding again. When the
process dies, the last number on stderr is the finding.
"""

from __future__ import annotations

import argparse
import io
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

import mien
from mien.base.errors import MienError
from mien.base.images import open_image
from mien.base.recipe import load_recipe
from mien.data.read import load_dataset
from mien.data.synthetic import synthetic_faces
from mien.evaluation.predictions import Predictions, read_predictions, write_predictions
from mien.inference.find_model import find_run

SECONDS, MEMORY = 30, 4 * 1024**3
TOKENS = (b"[" * 5000, b"9" * 5000, b"0x" + b"f" * 6000, b"nan", b"1e999", b"-1", b"\xff\xfe", b"\0", b'"', b"\r\n")


def mutate(content: bytes, random: np.random.Generator) -> bytes:
    """Change a file in one to eight places: a bit, bytes, a cut, a copy, a token, its end."""
    data = bytearray(content)
    for _ in range(int(random.integers(1, 9))):
        at, size = int(random.integers(0, len(data) + 1)), int(random.integers(1, 64))
        kind = int(random.integers(0, 6))
        if kind == 0 and at < len(data):
            data[at] ^= 1 << int(random.integers(0, 8))
        elif kind == 1:
            data[at : at + size] = random.bytes(min(size, len(data[at:])))
        elif kind == 2:
            del data[at : at + size]
        elif kind == 3:
            data[at:at] = data[at : at + size]
        elif kind == 4:
            data[at:at] = TOKENS[int(random.integers(0, len(TOKENS)))]
        elif kind == 5 and random.random() < 0.2:
            del data[at:]
    return bytes(data)


def corpus(folder: Path) -> list[tuple[str, bytes, Callable[[Path], object]]]:
    """A valid file of each format: name, content and what reads it."""
    faces = synthetic_faces(14, seed=0)
    pixels = [" ".join(map(str, face.ravel())) for face in np.asarray(faces.images)]
    rows = [f"{n % 7},{text},{'Training' if n < 10 else 'PublicTest'}" for n, text in enumerate(pixels)]
    uniform = np.full((14, 7), 1 / 7)
    write_predictions(
        folder / "p.npz", Predictions(np.arange(14), faces.labels, uniform, faces.classes, "validation", "")
    )
    found: list[tuple[str, bytes, Callable[[Path], object]]] = [
        ("a.csv", "\n".join(["emotion,pixels,Usage", *rows]).encode(), lambda path: load_dataset(path, cache=False)),
        ("p.npz", (folder / "p.npz").read_bytes(), read_predictions),
        ("model.onnx", find_run("fast").model.read_bytes(), lambda path: mien.load(str(path))),
        (
            "recipe.toml",
            (Path(mien.__file__).parent / "recipes" / "short.toml").read_bytes(),
            lambda path: load_recipe(str(path)),
        ),
    ]
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8))
    for kind in ("png", "jpeg", "webp", "bmp", "gif", "tiff", "ppm"):
        stream = io.BytesIO()
        noise.save(stream, kind)
        found.append((f"image.{kind}", stream.getvalue(), lambda path: open_image(path).load()))
    for name, content, read in found:
        (folder / name).write_bytes(content)
        read(folder / name)
    return found


def outcome(path: Path, read: Callable[[Path], object]) -> str:
    """``read``, ``refused``, or what is wrong."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        read(path)
    except MienError as error:
        return "refused" if "\n" not in str(error) else f"several lines: {error}"
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return f"{type(error).__name__}: {str(error)[:100]}"
    return "read"


def main() -> None:
    """Print counts and findings; exit code 1 if there is one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    counts: Counter[str] = Counter()
    began, number = time.monotonic(), options.first
    with tempfile.TemporaryDirectory() as folder:
        files = corpus(Path(folder))
        while time.monotonic() - began < options.seconds:
            sys.stderr.write(f"\r{number}")
            random = np.random.default_rng([options.seed, number])
            name, content, read = files[int(random.integers(0, len(files)))]
            (Path(folder) / name).write_bytes(mutate(content, random))
            found = outcome(Path(folder) / name, read)
            counts[found if found in {"read", "refused"} else "found"] += 1
            if found not in {"read", "refused"}:
                print(f"{number}: {name}: {found}")
            number += 1
    print(f"seed {options.seed}: {sum(counts.values()):,} inputs: {dict(counts)}")
    sys.exit(bool(counts["found"]))


if __name__ == "__main__":
    main()
