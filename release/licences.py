"""Write docs/licences.md: the licence of everything that a wheel or the page holds, and of what mien runs on.

python release/licences.py
"""

from __future__ import annotations

import sys

from contents import BUNDLED, FACENET, ROOT, page_packages, python_packages

PAGE = ROOT / "docs" / "licences.md"

HEAD = """# Licences

mien is under the [MIT License](../LICENSE), its models too. A wheel holds software of others, and runs on packages that
pip installs beside it. `python release/licences.py` writes this page from the metadata of the installed packages;
`make wheel` writes the same with versions and digests as a CycloneDX file beside the wheel.

## Take note

- **Video: PyAV's wheels hold FFmpeg with x264 and x265, which are under the GPL.** PyAV itself is under the BSD
  License. A container or an application with `mien[video]` inside holds GPL software; mien's own wheel does not.
  A PyAV that is built against an FFmpeg without them (`pip install --no-binary av av`) avoids it; `mien video` then
  writes MPEG-4.
- **OpenCV's wheels hold FFmpeg** under the LGPL 2.1, without x264.
- **psycopg**, the driver for PostgreSQL, is under the LGPL 3.
- **torch with CUDA**, which pip's index gives on Linux, brings NVIDIA's libraries under NVIDIA's own terms. The CPU
  build has none of them.
- **FER2013's images** are not part of mien.

## Inside the wheel and the page

Full texts: `licences.txt` beside the page and beside the detector, `onnxruntime-notices.txt` beside the page.

| package | licence | for |
|---|---|---|
"""

OUTSIDE = """
onnxruntime's compiled part holds Eigen (MPL 2.0), Protocol Buffers and RE2 (BSD), Abseil, FlatBuffers and ONNX
(Apache 2.0), nlohmann/json, SafeInt, GSL and Emscripten's runtime (MIT).

## What mien runs on

As the packages' metadata say it. "core" comes with mien; the others with the extras that are named.

| package | licence | needed by |
|---|---|---|
"""


def page() -> str:
    """The page's Markdown."""
    inside = [f"| {name} | {entry['license']} | {BUNDLED[name]} |" for name, entry in page_packages().items()]
    inside.append(f"| {FACENET[0]} | MIT | weights of the face detector's check |")
    outside = [f"| {each.name} | {each.licence} | {', '.join(each.extras)} |" for each in python_packages()]
    return HEAD + "\n".join(inside) + "\n" + OUTSIDE + "\n".join(outside) + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 1:
        sys.exit(__doc__)
    PAGE.write_text(page(), encoding="utf-8")
