"""The data that a command was pointed at: glanced at, read, told of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.cli.options import environment, remark

if TYPE_CHECKING:
    from mien.data.clean import Clean
    from mien.data.read import ReadResult


@dataclass(frozen=True)
class Source:
    """Data, and how it is to be read: what the options of the same names say.

    Attributes:
        path: ``--data``.
        class_map: ``--map``, as text.
        skip_bad: ``--skip-bad``.
        clean: ``--clean``.
    """

    path: Path
    class_map: str | None = None
    skip_bad: bool = False
    clean: Path | None = None

    def check(self) -> None:
        """Refuse at a glance what :meth:`read` will: for commands that load torch first, which takes seconds.

        Raises :class:`DataError`.
        """
        from mien.data.clean import read_clean
        from mien.data.read import describe_source
        from mien.labels import parse_map

        describe_source(self.path)
        if self.class_map:
            parse_map(self.class_map)
        if self.clean is not None:
            read_clean(self.clean)

    def read(self, size_px: int = 48, *, again: bool = False) -> ReadResult:
        """Read the data; say which images were left out, and what a list of changes did.

        Data that is read ``again``, at another size, was told of already. Raises :class:`DataError`.
        """
        from mien.data.clean import apply_clean, check_made_for, read_clean
        from mien.data.faceset import FINGERPRINT_PX
        from mien.errors import DataError

        changes = None if self.clean is None else read_clean(self.clean)
        result = self._read(size_px)
        if not again:
            _tell(result)
        if changes is None or self.clean is None:
            return result
        usual = result if size_px == FINGERPRINT_PX else self._read(FINGERPRINT_PX)
        check_made_for(changes, result.faces, self.clean)
        try:
            faces = apply_clean(result.faces, changes, usual.faces)
        except DataError as error:
            raise DataError(f"{self.clean}: {error}") from None
        cleaned = replace(result, faces=faces, uncleaned=result.faces)
        if not again:
            _tell_of_changes(cleaned, changes, self.clean)
        return cleaned

    def _read(self, size_px: int) -> ReadResult:
        from mien.data.read import read_data
        from mien.labels import parse_map

        class_map = parse_map(self.class_map) if self.class_map else None
        return read_data(self.path, size_px=size_px, class_map=class_map, skip_bad=self.skip_bad)

    def facts(self) -> dict[str, str]:
        """Which list of changes a figure was made under, to the byte; nothing without one."""
        from hashlib import sha256

        if self.clean is None:
            return {}
        return {"clean": str(self.clean), "clean_sha256": sha256(self.clean.read_bytes()).hexdigest()}

    def environment(self, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Facts about this data, machine and command, for environment.json."""
        return environment(self.path, {**(extra or {}), **self.facts()})

    def options(self) -> list[str]:
        """The words that point another command at the same data."""
        words = ["--data", str(self.path)]
        words += [] if self.class_map is None else ["--map", self.class_map]
        words += [] if self.clean is None else ["--clean", str(self.clean)]
        return words + (["--skip-bad"] if self.skip_bad else [])


def source_if_any(data: Path | None, class_map: str | None, skip_bad: bool, clean: Path | None) -> Source | None:
    """None without data, where options of reading are refused. Raises :class:`DataError`."""
    from mien.errors import DataError

    if data is not None:
        return Source(data, class_map, skip_bad, clean)
    given = {"--map": class_map is not None, "--skip-bad": skip_bad, "--clean": clean is not None}
    for option, is_given in given.items():
        if is_given:
            raise DataError(f"{option} is about data; give --data PATH too.")
    return None


def environment_of(source: Source | None) -> dict[str, Any]:
    """:meth:`Source.environment`, also where no data is given."""
    return environment("not given") if source is None else source.environment()


def _tell(result: ReadResult) -> None:
    for note in result.notes:
        remark(f"note: {note}")
    for source, reason in result.skipped:
        remark(f"left out {reason}" if reason.startswith(source) else f"left out {source}: {reason}")


def _tell_of_changes(cleaned: ReadResult, changes: Clean, path: Path) -> None:
    assert cleaned.uncleaned is not None
    dropped = {
        split: gone
        for split, counts in cleaned.uncleaned.counts_by_split().items()
        if (gone := sum(counts) - int((cleaned.faces.split == split).sum()))
    }
    relabelled = sum(each.to is not None for each in changes.changes)
    parts = ", ".join(f"{count:,} of {split}" for split, count in dropped.items()) or "no rows"
    remark(f"{path}: dropped {parts}; relabelled {relabelled:,}")
