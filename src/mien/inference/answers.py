"""Answers about many pictures, kept while they are made: a killed command goes on where it stopped.

    FILE.part    a journal: one line of settings, then a line of JSON for each picture that is done
    FILE         made of it at the end (.jsonl, .csv or .parquet), whole or not at all; the journal goes then

The journal is locked while it is open. Errors are tried again by the next command, which may find them mended.

A picture's answer is ``{"source", "picture": {"width", "height"}, "detector", "faces": [...]}``; one that is a face
already, ``{"source", "top", "confidence", "probabilities"}``; one that cannot be read, ``{"source", "error"}``.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from mien.errors import RunError, needs_extra
from mien.files import lock_file
from mien.inference.answer_files import WRITERS, json_line, write_answers

_BEGUN_WITH = "begun_with"
_HEAD = json.dumps({_BEGUN_WITH: {}})[:-2].encode()


class Journal:
    """The answers of one ``FILE``, opened to be added to.

    Attributes:
        found: how many pictures were done when it was opened; those that could not be read are not.

    Raises:
        MissingExtraError: FILE ends in .parquet, which needs pyarrow.
        RunError: FILE is there, or cannot be written; a journal that was begun with other settings, is damaged, or is
            in use by another command.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any], classes: tuple[str, ...]) -> None:
        self.out, self.part = out, out.with_name(f"{out.name}.part")
        self._crops, self._classes = bool(settings["crops"]), classes
        if out.suffix.lower() not in WRITERS or out.is_dir():
            raise RunError(f"--out must name a file that ends in {', '.join(WRITERS)}; found {out}.")
        if out.suffix.lower() == ".parquet":
            with needs_extra("train", "Writing parquet"):
                import pyarrow.parquet  # noqa: F401
        if out.exists() and not self.part.exists():
            raise RunError(f"{out} is there already, and complete. Choose another name, or remove it.")
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            self._stream: BinaryIO = self.part.open("a+b")
        except OSError as error:
            raise RunError(f"{self.part} cannot be written: {error.strerror or error}.") from None
        try:
            if not lock_file(self._stream):
                raise RunError(f"{self.part} is in use by another command. Wait for its end, or choose another --out.")
            self._done = self._resume(settings)
            self._opened_at = self._stream.seek(0, os.SEEK_END)
        except BaseException:
            self._close()
            raise
        self.found = self._kept = len(self._done)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        if error is not None and not self._kept:
            self.part.unlink(missing_ok=True)

    def holds(self, source: str) -> bool:
        """Whether a picture was done when the journal was opened."""
        key = _key(source)
        place = int(np.searchsorted(self._done, key))
        return place < len(self._done) and bool(self._done[place] == key)

    def add(self, answer: Mapping[str, Any]) -> None:
        """Keep an answer. Raises :class:`RunError` where the disk refuses."""
        self._write(answer)
        self._kept += 1

    def _write(self, line: Mapping[str, Any]) -> None:
        try:
            self._stream.write(json_line(line))
            self._stream.flush()
        except OSError as error:
            raise RunError(
                f"{self.part} cannot be written: {error.strerror or error}. What is done is kept; "
                f"run the command again to go on."
            ) from None

    def answers(self) -> Iterator[dict[str, Any]]:
        """All answers so far, in their order, one at a time; of errors, those since it was opened."""
        self._stream.seek(0)
        place = len(self._stream.readline())
        for line in self._stream:
            answer = json.loads(line)
            if "error" not in answer or place >= self._opened_at:
                yield answer
            place += len(line)

    def finish(self, told: Callable[[Mapping[str, Any]], None] = lambda answer: None) -> None:
        """Make FILE of the journal, whole or not at all, and remove the journal.

        Args:
            told: is told of each answer in FILE.

        Raises:
            RunError: the disk refuses.
        """

        def all_told() -> Iterator[dict[str, Any]]:
            for answer in self.answers():
                told(answer)
                yield answer

        write_answers(self.out, all_told(), self._classes, self._crops)
        self._close()
        self.part.unlink(missing_ok=True)

    def _close(self) -> None:
        # What a full disk did not take is tried again here, and has been told.
        with suppress(OSError):
            self._stream.close()

    def _resume(self, settings: Mapping[str, Any]) -> npt.NDArray[np.uint64]:
        """What is done: the keys of its sources, sorted, 8 bytes each, without errors. A line cut off is taken away."""
        self._stream.seek(0)
        first = self._stream.readline()
        if not _HEAD.startswith(first[: len(_HEAD)]):
            raise RunError(
                f"{self.part} is not mien's, but where answers would be kept. Move it, or name another --out."
            )
        if not first.endswith(b"\n"):
            self._stream.truncate(0)
            self._write({_BEGUN_WITH: dict(settings)})
            return np.empty(0, dtype=np.uint64)
        keys, good = array("Q"), len(first)
        try:
            self._check(json.loads(first)[_BEGUN_WITH], settings)
            for line in self._stream:
                if line.endswith(b"\n"):
                    answer = json.loads(line)
                    if "error" not in answer:
                        keys.append(_key(answer["source"]))
                    good += len(line)
        except (ValueError, KeyError, TypeError):
            raise RunError(f"{self.part} is damaged. Remove it to begin anew.") from None
        self._stream.truncate(good)
        return np.sort(np.array(keys, dtype=np.uint64))

    def _check(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        for name, value in now.items():
            if before[name] != value:
                raise RunError(
                    f"{self.part} was begun with {_difference(name, before[name], value)}. "
                    f"Give the same again to go on, or remove that file to begin anew."
                )


def _difference(name: str, before: Any, now: Any) -> str:
    if isinstance(now, list):
        # There may be thousands: one of them says enough.
        (one, *_) = sorted(set(before) ^ set(now))
        return f"other {name}: {one} was {'not ' if one in now else ''}among them"
    return f"{name} {_said(before)}, and now it is {_said(now)}"


def _said(value: Any) -> str:
    return "none" if value is None else json.dumps(value) if isinstance(value, bool) else str(value)


def _key(source: str) -> int:
    return int.from_bytes(blake2b(os.fsencode(source), digest_size=8).digest(), "big")
