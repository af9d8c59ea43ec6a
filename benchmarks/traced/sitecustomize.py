"""Notes which lines a process runs for which test. Python imports it when it starts, where this folder is on its path.

``benchmarks/mutants.py`` starts tests so, since a service that they start is a process of its own. The variable
``MIEN_LINES`` names a folder: its ``files`` are traced, and ``running`` holds the number of the test that runs. Lines
that run at import are no test's.
"""

import mmap
import os
import sys
import threading
from pathlib import Path

_FOLDER = Path(os.environ["MIEN_LINES"])
_FILES = frozenset((_FOLDER / "files").read_text().splitlines())
_CO_OPTIMIZED = 1  # inspect says so; a module or the body of a class is not
with (_FOLDER / "running").open("rb") as _stream:
    _RUNNING = mmap.mmap(_stream.fileno(), 4, access=mmap.ACCESS_READ)
# Each line is written at once: most services are killed.
_NOTED = os.open(_FOLDER / f"{os.getpid()}.lines", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
_seen = set()


def _trace(frame, event, argument):
    code = frame.f_code
    if code.co_filename not in _FILES or not code.co_flags & _CO_OPTIMIZED:
        return None
    _note(frame)
    return _trace_lines


def _trace_lines(frame, event, argument):
    _note(frame)
    return _trace_lines


def _note(frame):
    found = (_RUNNING[:4], frame.f_lineno, frame.f_code.co_filename)
    if found not in _seen:
        _seen.add(found)
        os.write(_NOTED, f"{int.from_bytes(found[0], 'little')} {found[1]} {found[2]}\n".encode())


threading.settrace(_trace)
sys.settrace(_trace)
