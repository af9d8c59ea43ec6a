"""Files that are written whole or not at all, and files that one process alone may write."""

from __future__ import annotations

import errno
import os
import secrets
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from mien.errors import RunError

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that becomes ``path`` when the block ends well.

    Whatever stops the block (a full disk, Ctrl-C, a kill), ``path`` holds either its former content or the
    complete new one. Missing parent folders are made.

    Raises:
        RunError: the file system refused (disk full, no permission, a file-size limit).
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # An ordinary file, unlike tempfile's, which only their owner can read.
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))
            yield temporary
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
            temporary.replace(path)
        except OSError as error:
            # An OSError about another file (a reader's, inside the block) is not ours to explain.
            if error.filename is not None and Path(str(error.filename)) not in {temporary, path, *path.parents}:
                raise
            reason = error.strerror or str(error)
            mend = "Free some space, then run the command again" if error.errno in _NO_SPACE else "Choose another place"
            raise RunError(
                f"{path} could not be written: {reason}. What stood there before is unchanged. {mend}."
            ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def check_replaceable(paths: Iterable[Path], overwrite: bool) -> None:
    """Refuse to replace files that nobody said may go. Raises :class:`RunError`."""
    for path in paths:
        if path.exists() and not overwrite:
            raise RunError(f"{path} exists already. Choose another folder with --out, or replace it with --overwrite.")


def plain(text: str) -> str:
    """Text in which the bytes of a file name that are no UTF-8 (Python's lone surrogates) are backslash escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` as UTF-8, whole or not at all. Raises :class:`RunError`.

    Bytes of file names that are no UTF-8 are written as by :func:`plain`.
    """
    write_bytes(path, plain(text).encode())


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write ``content``, whole or not at all. Raises :class:`RunError`."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def lock_file(stream: BinaryIO) -> bool:
    """Keep an open file to oneself until it is closed, or the process ends. False where another holds it already.

    Only those who ask are kept out. A file system without locks holds nobody back.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            # A byte that no file reaches: what is locked there, others cannot read.
            place = stream.tell()
            stream.seek(1 << 62)
            try:
                msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
            finally:
                stream.seek(place)
        else:
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in {errno.EAGAIN, errno.EACCES, errno.EDEADLK}
    return True
