"""Write files whole or not at all, and lock files for one process."""

import errno
import hashlib
import os
import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec
from pathlib import Path
from typing import Any, BinaryIO

from platformdirs import user_cache_dir

from mien.base.errors import MienError, RunError

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; it is renamed to ``path`` when the block ends without an error.

    If the block fails (full disk, Ctrl-C, kill), ``path`` keeps its previous content. ``path`` never holds half a file.
    Missing parent folders are created, and removed after a failure. Raises RunError if the file system refused (disk
    full, no permission, a limit).
    """
    path = Path(path)
    if path.parts[:1] == ("~",):
        # A shell expands ~ only at the start of a word. Deleting a folder named ~ by hand could delete the home folder.
        raise RunError(f"{path} begins with ~, a folder of that name. Write {path.expanduser()}.", code="out-path")
    try:
        made = [folder for folder in path.parents if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        # Random, so that a file that a killed process left is harmless; short, so that it fits beside a long name.
        temporary = path.with_name(f".{secrets.token_hex(6)}.part")
        # tempfile would make a file that only its owner can read.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))
        try:
            yield temporary
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            with suppress(OSError):
                for folder in made:
                    folder.rmdir()
            raise
        sync_folder(path.parent)
    except OSError as error:
        # Do not explain an OSError about another file, such as one read inside the block.
        file = path if error.filename is None else Path(str(error.filename))
        if file not in {path, *path.parents} and (file.parent != path.parent or not file.match(".*.part")):
            raise
        reason = error.strerror or str(error)
        former = " Its former content is unchanged." if os.path.lexists(path) else ""
        no_space = error.errno in _NO_SPACE
        mend = "Free space and repeat the command; --resume resumes a training" if no_space else "Choose another folder"
        raise RunError(f"{path} could not be written: {reason}.{former} {mend}.", code="file-unwritable") from error


def sync_folder(folder: Path) -> None:
    """Flush a folder to disk, so that renames in it survive a power cut. Windows does this by itself."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems lack this call; the rename is valid anyway.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP, errno.EBADF}:
            raise
    finally:
        os.close(descriptor)


def check_replaceable(paths: Iterable[Path], overwrite: bool, warning: str = "") -> None:
    """Raise an error if a file exists, unless ``overwrite``; ``warning`` is appended. Raises :class:`RunError`."""
    for path in paths:
        if path.exists() and not overwrite:
            raise RunError(f"{path} exists already. Choose another --out, or --overwrite.{warning}", code="file-exists")


_POINTERS = {
    b"version https://git-lfs": ("a Git LFS pointer", "git lfs pull"),
    b"/annex/objects/": ("a pointer of git-annex", "git annex get"),
}


def refuse_pointer(path: str | os.PathLike[str], error: type[MienError]) -> None:
    """Raise ``error`` (``pointer``) if the file is a pointer of Git LFS or git-annex."""
    if not (file := expand_home(path)).is_file():
        return  # a pipe can be read only once
    with suppress(OSError), file.open("rb") as stream:
        start = stream.read(32)
        for begins, (what, command) in _POINTERS.items():
            if start.startswith(begins):
                raise error(f"{path} is {what}, not the file itself. Run {command} in its repository.", code="pointer")


def check_outside(out: str | os.PathLike[str], data: object) -> Path:
    """Return ``out`` with ``~`` expanded. Raises RunError: it is in ``data``, if this is or has a path."""
    out, source = expand_home(out), getattr(data, "path", data)
    folder = expand_home(source) if isinstance(source, str | os.PathLike) else None
    if folder is not None and folder.is_dir() and out.resolve().is_relative_to(folder.resolve()):
        raise RunError(f"{out} is inside the data, {folder}. Choose another --out.", code="out-path")
    return out


def expand_home(path: str | os.PathLike[str]) -> Path:
    """Expand ``~`` at the start of a path; a home that nobody has stays. Raises RunError: an empty path."""
    if not os.fspath(path):
        raise RunError("A path is empty. Is a variable not set?", code="file-missing")
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises RuntimeError for an unknown user


def plain(text: str) -> str:
    """Replace bytes of file names that are not UTF-8 (Python's lone surrogates) by backslash escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` as UTF-8 (see :func:`plain`), whole or not at all. Raises :class:`RunError`."""
    write_bytes(path, plain(text).encode())


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write ``content``, whole or not at all. Raises :class:`RunError`."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def cache_folder(name: str) -> Path:
    """Return a folder for files that can be recreated: ``$MIEN_CACHE``, else the user's cache; without a home none."""
    try:
        return Path(os.environ.get("MIEN_CACHE") or user_cache_dir("mien", appauthor=False)).expanduser() / name
    except RuntimeError:
        return Path(os.devnull) / name


def run_python(file: Path, name: str) -> Mapping[str, Any]:
    """Run a user's Python file as the module ``name``, and return its names. Raises whatever the file raises."""
    loader = SourceFileLoader(name, str(file))
    module = module_from_spec(ModuleSpec(name, loader, origin=str(file)))
    sys.modules[name] = module  # dataclasses look up their module in sys.modules
    loader.exec_module(module)
    return vars(module)


def file_sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content, 64 hex digits. Raises :class:`OSError`."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def lock_file(stream: BinaryIO) -> bool:
    """Lock an open file until it is closed or the process ends; on a file system without locks it always succeeds.

    Returns False when another process that asks holds the lock, or has removed the file since it was opened.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            # Lock a byte beyond the end of the file, because Windows forbids all reading of locked bytes.
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
