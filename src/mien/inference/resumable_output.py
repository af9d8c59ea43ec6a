"""Storage of many results while they are computed, so that a killed command can resume.

    FILE.part    a journal: one line of settings, then a line of JSON for each finished image
    FILE         written from it at the end (.jsonl, .csv or .parquet), atomically; the journal is removed then

The journal is locked while it is open. The next command tries images with errors again.

A photo's result is ``{"source", "image": {"width", "height"}, "detector", "faces": [...]}``. That of a face crop is
``{"source", "answer", "top", "confidence", "probabilities"}``, an unreadable image's ``{"source", "error"}``. A model
with named outputs adds the names in :attr:`mien.inference.prediction.Prediction.fields`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from mien.base.errors import RunError, needs_extra
from mien.base.files import lock_file, whole_file
from mien.inference.output_files import WRITERS, Columns, json_line

_SETTINGS = "begun_with"


class ResumableOutput:
    """The results of one ``FILE``, open for appending.

    Attributes:
        done: sources of finished images when it was opened, except those with errors.

    Raises:
        MissingExtraError: FILE ends in .parquet, which needs pyarrow.
        RunError: FILE exists (``output-exists``), has an unknown suffix (``output-suffix``) or cannot be written
            (``output-unwritable``). Or its journal has other settings (``journal-settings``), is damaged or another
            program's file (``journal-damaged``), or in use (``journal-in-use``).
    """

    def __init__(self, out: Path, settings: Mapping[str, Any], columns: Columns, *, overwrite: bool = False) -> None:
        self.out: Path = out
        self.part: Path = out.with_name(f"{out.name}.part")
        self.done: set[str] = set()
        # Position of each image's last line in the journal.
        self._positions: dict[str, int] = {}
        self._columns = columns
        if out.suffix.lower() not in WRITERS or out.is_dir():
            words = f"--out must be a file that ends in {' or '.join(WRITERS)}; found {out}."
            raise RunError(words, code="output-suffix")
        if out.suffix.lower() == ".parquet":
            with needs_extra("parquet", "Writing parquet"):
                import pyarrow.parquet  # noqa: F401
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            self._stream: BinaryIO = self.part.open("a+b")
        except OSError as error:
            words = f"{self.part} cannot be written: {error.strerror or error}."
            raise RunError(words, code="output-unwritable") from None
        try:
            if not lock_file(self._stream):
                words = f"{self.part} is in use by another command. Wait until it ends, or choose another --out."
                raise RunError(words, code="journal-in-use")
            # Check under the lock, because another command may just have finished; it removes its journal last.
            if out.exists() and not overwrite and not self.part.stat().st_size:
                self._remove()
                words = f"{out} exists already and is complete. Choose another name, or replace it with "
                words += "--overwrite."
                raise RunError(words, code="output-exists")
            self._resume(settings)
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> ResumableOutput:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not None and not self._positions:
            self._remove()
        self._close()

    def add(self, result: Mapping[str, Any]) -> None:
        """Store a result. Raises :class:`RunError` if it cannot be written (``output-unwritable``)."""
        self._positions[result["source"]] = self._stream.tell()
        self._write(result)

    def _write(self, line: Mapping[str, Any]) -> None:
        try:
            self._stream.write(json_line(line))
            self._stream.flush()
        except OSError as error:
            words = f"{self.part} cannot be written: {error.strerror or error}. Finished images are stored; "
            words += "run the command again to resume."
            raise RunError(words, code="output-unwritable") from None

    def finish(
        self, sources: Iterable[str], on_result: Callable[[Mapping[str, Any]], None] = lambda result: None
    ) -> None:
        """Write FILE from the journal, atomically, and remove the journal. Raises RunError if it cannot be written."""

        def results() -> Iterator[dict[str, Any]]:
            for source in sources:
                if source in self._positions:
                    self._stream.seek(self._positions[source])
                    result = json.loads(self._stream.readline())
                    on_result(result)
                    yield result

        with whole_file(self.out) as temporary:
            WRITERS[self.out.suffix.lower()](temporary, results(), self._columns)
        self._remove()

    def _remove(self) -> None:
        """Remove the journal while it is locked, because another command may use it as soon as it is unlocked."""
        if sys.platform == "win32":  # Windows cannot remove an open file
            self._close()
        self.part.unlink(missing_ok=True)
        self._close()

    def _close(self) -> None:
        # Closing may repeat a write that a full disk refused; that error was already raised.
        with suppress(OSError):
            self._stream.close()

    def _resume(self, settings: Mapping[str, Any]) -> None:
        """Read the finished images, and remove a truncated last line."""
        self._stream.seek(0)
        first = self._stream.readline()
        if not first:
            self._write({_SETTINGS: dict(settings)})
            return
        good = len(first)
        try:
            before = json.loads(first)[_SETTINGS]
            for name, value in settings.items():
                if before[name] != value:
                    raise RunError(
                        f"{self.part} was started with {name} {before[name]}, now {value}. Use the same settings to "
                        "resume, or remove that file to start again.",
                        code="journal-settings",
                    )
            for line in self._stream:
                if line.endswith(b"\n"):
                    result = json.loads(line)
                    self._positions[os.fspath(result["source"])] = good
                    if "error" not in result:
                        self.done.add(result["source"])
                    good += len(line)
        except (ValueError, KeyError, TypeError, RecursionError):
            words = f"{self.part} is damaged or not mien's. Remove it, or choose another --out."
            raise RunError(words, code="journal-damaged") from None
        self._stream.truncate(good)
        self._stream.seek(0, os.SEEK_END)
