"""Answers about many pictures, kept while they are made: a killed command goes on where it stopped.

    FILE.part    a journal: one line of settings, then a line of JSON for each picture that is done
    FILE         made of it at the end (.jsonl, .csv or .parquet), whole or not at all; the journal goes then

A picture's answer is ``{"source", "picture": {"width", "height"}, "detector", "faces": [...]}``; one that is a face
already, ``{"source", "top", "confidence", "probabilities"}``; one that cannot be read, ``{"source", "error"}``.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from mien.errors import RunError, needs_extra
from mien.inference.answer_files import WRITERS, json_line, write_answers

_BEGUN_WITH = "begun_with"


class Journal:
    """The answers of one ``FILE``, opened to be added to.

    Attributes:
        found: how many pictures were done when it was opened.

    Raises:
        MissingExtraError: FILE ends in .parquet, which needs pyarrow.
        RunError: FILE is there, or cannot be written; a journal that was begun with other settings, or is damaged.
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
            self._done = self._resume(settings)
        except BaseException:
            self._stream.close()
            raise
        self.found = len(self._done)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def holds(self, source: str) -> bool:
        """Whether a picture was done when the journal was opened."""
        key = _key(source)
        place = int(np.searchsorted(self._done, key))
        return place < len(self._done) and bool(self._done[place] == key)

    def add(self, answer: Mapping[str, Any]) -> None:
        """Keep an answer. Raises :class:`RunError` where the disk refuses."""
        try:
            self._stream.write(json_line(answer))
            self._stream.flush()
        except OSError as error:
            raise RunError(
                f"{self.part} cannot be written: {error.strerror or error}. What is done is kept; "
                f"run the command again to go on."
            ) from None

    def answers(self) -> Iterator[dict[str, Any]]:
        """All answers so far, in their order, one at a time."""
        with self.part.open("rb") as stream:
            next(stream)
            for line in stream:
                yield json.loads(line)

    def finish(self) -> None:
        """Make FILE of the journal, whole or not at all, and remove the journal. Raises :class:`RunError`."""
        write_answers(self.out, self.answers(), self._classes, self._crops)
        self._stream.close()
        self.part.unlink()

    def _resume(self, settings: Mapping[str, Any]) -> npt.NDArray[np.uint64]:
        """What is done: the keys of its sources, sorted, 8 bytes each. A line that was cut off is taken away."""
        self._stream.seek(0)
        first = self._stream.readline()
        if not first.endswith(b"\n"):
            self._stream.truncate(0)
            self.add({_BEGUN_WITH: dict(settings)})
            return np.empty(0, dtype=np.uint64)
        keys, good = array("Q"), len(first)
        try:
            self._check(json.loads(first)[_BEGUN_WITH], settings)
            for line in self._stream:
                if line.endswith(b"\n"):
                    keys.append(_key(json.loads(line)["source"]))
                    good += len(line)
        except (ValueError, KeyError, TypeError):
            raise RunError(f"{self.part} is damaged. Remove it to begin anew.") from None
        self._stream.truncate(good)
        return np.sort(np.array(keys, dtype=np.uint64))

    def _check(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        for name, value in now.items():
            if before[name] != value:
                raise RunError(
                    f"{self.part} was begun with {name} {_said(before[name])}, and now it is {_said(value)}. "
                    f"Give the same again to go on, or remove that file to begin anew."
                )


def _said(value: Any) -> str:
    return "none" if value is None else json.dumps(value) if isinstance(value, bool) else str(value)


def _key(source: str) -> int:
    return int.from_bytes(blake2b(os.fsencode(source), digest_size=8).digest(), "big")
