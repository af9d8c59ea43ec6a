"""Compress onnxruntime's wasm with xz, which makes it a third smaller than gzip does. The page decompresses it.

python web/scripts/pack_runtime.py web/node_modules/onnxruntime-web web/build/onnxruntime.wasm.xz
"""

from __future__ import annotations

import lzma
import sys
from pathlib import Path

WASM = "dist/ort-wasm-simd-threaded.wasm"

FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 24}]
"""The page needs as much memory as the dictionary to decompress the file; 16 MiB hold all of it."""


def main(package: Path, out: Path) -> None:
    """Write the file."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(lzma.compress((package / WASM).read_bytes(), check=lzma.CHECK_CRC32, filters=FILTERS))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
