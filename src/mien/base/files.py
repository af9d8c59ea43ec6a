"""Files that are written whole or not at all, and files that one process locks."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from platformdirs import user_cache_dir

from mien.base.errors import MienError, RunError, arg

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
    if path.parts[:1] == ("~",):
        # A shell expands it only at the beginning of a word. Removing such a folder by hand may remove one's home.
        raise RunError(f"{path} begins with ~, a folder of that name. Write {path.expanduser()}.", code="path-tilde")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _temporary_file(path) as temporary:
            yield temporary
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
            temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        # An OSError about another file (a reader's, inside the block) is not ours to explain.
        of_others = error.filename is not None and not _is_beside(Path(str(error.filename)), path)
        if of_others:
            raise
        reason = error.strerror or str(error)
        former = " Its former content is unchanged." if os.path.lexists(path) else ""
        mend = "Choose another folder"
        if error.errno in _NO_SPACE:
            mend = f"Free some space, then run the command again (a training with {arg('resume', True)})"
        raise RunError(f"{path} could not be written: {reason}.{former} {mend}.", code="file-unwritable") from error


@contextmanager
def _temporary_file(path: Path) -> Iterator[Path]:
    """An empty file beside ``path``, removed when the block fails.

    Its name is random and short: what a killed process leaves is in nobody's way, and the longest name has room.
    """
    temporary = path.with_name(f".{secrets.token_hex(6)}.part")
    # An ordinary file, unlike tempfile's, which only their owner can read.
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))
    try:
        yield temporary
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _is_beside(file: Path, path: Path) -> bool:
    """Whether a file is ``path``, its temporary file or a folder that holds it."""
    temporary = file.name.startswith(".") and file.name.endswith(".part")
    return file in {path, *path.parents} or (file.parent == path.parent and temporary)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder outlast a power cut, where the system can: Windows cannot, and does it by itself."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems have no such call; the rename stands all the same.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP, errno.EBADF}:
            raise
    finally:
        os.close(descriptor)


def check_replaceable(paths: Iterable[Path], overwrite: bool, warning: str = "") -> None:
    """Refuse to replace files without ``overwrite``; ``warning`` ends the error. Raises :class:`RunError`."""
    for path in paths:
        if path.exists() and not overwrite:
            raise RunError(
                f"{path} exists already. Choose another place with {arg('out')}, or replace it with "
                f"{arg('overwrite', True)}.{warning}",
                code="file-exists",
            )


_POINTER = b"version https://git-lfs"


def refuse_pointer(path: str | os.PathLike[str], error: type[MienError]) -> None:
    """Refuse a Git LFS pointer in place of a file. Raises ``error`` (``git-lfs-pointer``)."""
    with suppress(OSError), Path(path).open("rb") as stream:
        if stream.read(len(_POINTER)) == _POINTER:
            raise error(
                f"{path} is a Git LFS pointer, not the file itself. Run in its repository: git lfs pull",
                code="git-lfs-pointer",
            )


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


def cache_folder(name: str) -> Path:
    """The folder of this name for what can be made again, in ``$MIEN_CACHE`` or the system's cache folder for users.

    A user without a name and HOME has none: then it is a path where nothing can be.
    """
    try:
        return Path(os.environ.get("MIEN_CACHE") or user_cache_dir("mien", appauthor=False)).expanduser() / name
    except RuntimeError:
        return Path(os.devnull) / name


def file_sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content, 64 hex digits. Raises :class:`OSError`."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def lock_file(stream: BinaryIO) -> bool:
    """Lock an open file until it is closed or the process ends.

    False when another process holds the lock, or has removed the file since it was opened.

    The lock is advisory. On a file system without locks it always succeeds.
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
        return os.path.samestat(os.fstat(stream.fileno()), Path(stream.name).stat())
    except OSError as error:
        return error.errno not in {errno.ENOENT, errno.EAGAIN, errno.EACCES, errno.EDEADLK}
