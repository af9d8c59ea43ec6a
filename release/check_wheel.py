"""Check that a wheel holds the browser page: git ignores what `make web` builds, so a wheel can be made without it.

    python release/check_wheel.py dist/mien-*.whl

Exit code 1 and a line on stderr where a file of the page is missing.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

PAGE = "mien/serve/static"
NEEDED = (
    *("index.html", "model.onnx", "model.json", "detector.onnx", "onnxruntime.wasm.gz"),
    *("licences.txt", "onnxruntime-notices.txt"),
)


def missing(wheel: Path) -> list[str]:
    """Files of the page that the wheel has not, or has empty; its scripts and styles as ``assets/``."""
    with zipfile.ZipFile(wheel) as archive:
        held = {entry.filename for entry in archive.infolist() if entry.file_size}
    lacking = [name for name in NEEDED if f"{PAGE}/{name}" not in held]
    return lacking if any(name.startswith(f"{PAGE}/assets/") for name in held) else [*lacking, "assets/"]


def main(wheels: list[str]) -> int:
    """Say what is missing where. Returns the exit code."""
    if not wheels:
        sys.stderr.write(__doc__ or "")
        return 2
    lacking = {wheel: missing(Path(wheel)) for wheel in wheels}
    for wheel, names in lacking.items():
        if names:
            sys.stderr.write(f"{wheel} lacks {', '.join(names)} of the page; run: make web\n")
    return 1 if any(lacking.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
