"""Check that a wheel holds the browser page and the face detector, which git ignores, and is not too large.

    python release/check_wheel.py dist/mien-*.whl

Exit code 1 and a line on stderr where a file is missing or the wheel is larger than it should be.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

DETECTOR = ("mien/faces/networks/detector.onnx", "mien/faces/networks/licences.txt")
PAGE = "mien/serve/static"
PUBLIC = Path(__file__).parents[1] / "web" / "public"
NEEDED = ("index.html", "worker.js", "onnxruntime-notices.txt", *sorted(file.name for file in PUBLIC.iterdir()))
"""Not the page's model: mien adds one of its own when it serves or copies the page."""

ASSETS = ("assets/index-", "assets/detector-", "assets/onnxruntime.wasm-")
"""Beginnings of names whose rest follows from the content."""

LIMIT = 34_000_000
"""Bytes of a wheel. It has 27.7 million: the models in all their forms, the page, the detector's networks."""


def missing(wheel: Path) -> list[str]:
    """Files of the detector and of the page that the wheel has not, or has empty."""
    with zipfile.ZipFile(wheel) as archive:
        held = {entry.filename for entry in archive.infolist() if entry.file_size}
    pending = [name for name in DETECTOR if name not in held]
    pending += [name for name in NEEDED if f"{PAGE}/{name}" not in held]
    return pending + [name for name in ASSETS if not any(each.startswith(f"{PAGE}/{name}") for each in held)]


def main(wheels: list[str]) -> int:
    """Say what is missing where. Returns the exit code."""
    if not wheels:
        sys.stderr.write(__doc__ or "")
        return 2
    pending = {wheel: missing(Path(wheel)) for wheel in wheels}
    for wheel, names in pending.items():
        if names:
            sys.stderr.write(f"{wheel} lacks {', '.join(names)}; run: make web\n")
    large = [wheel for wheel in wheels if Path(wheel).stat().st_size > LIMIT]
    for wheel in large:
        sys.stderr.write(f"{wheel} has more than {LIMIT:,} bytes; leave something out, or raise LIMIT.\n")
    return 1 if large or any(pending.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
