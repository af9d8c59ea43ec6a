"""The data that a command was pointed at: checked, read, described."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from mien.base.errors import DataError
from mien.base.files import file_sha256
from mien.base.labels import parse_map
from mien.cli.options import DataOption
from mien.cli.output import environment, notice
from mien.data.clean import Clean, apply_clean, check_made_for, read_clean
from mien.data.dataset import FINGERPRINT_PX
from mien.data.read import ReadResult, read_data
from mien.data.shapes import describe_source
from mien.data.votes import read_ferplus


@dataclass(frozen=True)
class SourceOptions:
    """How to read data that a command names by itself, or not at all."""

    class_map: Annotated[
        str | None, typer.Option("--map", help="Rename classes of the data: 'joy=happy,0=angry'.", metavar="A=B,...")
    ] = None
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Skip and list images that cannot be read.")] = False
    clean: Annotated[
        Path | None,
        typer.Option(
            "--clean", help="Drop and relabel samples as listed in this clean.toml from `mien audit`.", metavar="FILE"
        ),
    ] = None
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            help="Group the samples, for example by person or video. Splits and folds never divide a group. COLUMN is "
            "a column of the data; with class folders, folder1 is the folder inside the class folder. Or give a "
            "regular expression for file names: '(p[0-9]+)_' groups by the part in parentheses.",
            metavar="COLUMN",
        ),
    ] = None
    votes: Annotated[
        Path | None,
        typer.Option(
            "--votes", help="The file fer2013new.csv of FER+. Its votes are added to FER2013.", metavar="FILE"
        ),
    ] = None

    def at(self, path: Path) -> Source:
        """The data at a path."""
        return Source(path, self)

    def at_any(self, data: Path | None) -> Source | None:
        """None without data, where the options of reading are refused.

        Raises:
            DataError: ``options``.
        """
        if data is not None:
            return self.at(data)
        if self != SourceOptions():
            raise DataError("--map, --skip-bad, --clean, --group and --votes need --data PATH.", code="options")
        return None


@dataclass(frozen=True)
class Source:
    """Data, and how to read it."""

    path: DataOption
    how: SourceOptions = SourceOptions()

    def check(self) -> None:
        """Refuse at a glance what :meth:`read` will refuse: for commands that load torch first, which takes seconds.

        Raises:
            DataError: as :meth:`read`.
        """
        describe_source(self.path)
        if self.how.class_map:
            parse_map(self.how.class_map)
        if self.how.clean is not None:
            read_clean(self.how.clean)
        if self.how.votes is not None:
            read_ferplus(self.how.votes)

    def read(self, size_px: int = 48, channels: int = 1, *, again: bool = False) -> ReadResult:
        """Read the data. Print which images were skipped, and what a list of changes did.

        Args:
            size_px: side of the images.
            channels: 1 for grey, 3 for RGB.
            again: the data was read before, at another size; print nothing about it.

        Raises:
            DataError: the data cannot be read, or the list of changes is for other data.
        """
        changes = None if self.how.clean is None else read_clean(self.how.clean)
        result = self._read(size_px, channels)
        if not again:
            _describe(result)
        if changes is None or self.how.clean is None:
            return result
        usual = result if (size_px, channels) == (FINGERPRINT_PX, 1) else self._read(FINGERPRINT_PX, 1)
        check_made_for(changes, result.faces, self.how.clean)
        try:
            faces = apply_clean(result.faces, changes, usual.faces)
        except DataError as error:
            raise DataError(f"{self.how.clean}: {error}", code=error.code) from None
        cleaned = replace(result, faces=faces, uncleaned=result.faces)
        if not again:
            _describe_changes(cleaned, changes, self.how.clean)
        return cleaned

    def _read(self, size_px: int, channels: int) -> ReadResult:
        class_map = parse_map(self.how.class_map) if self.how.class_map else None
        return read_data(
            self.path,
            size_px=size_px,
            channels=channels,
            class_map=class_map,
            skip_bad=self.how.skip_bad,
            votes=self.how.votes,
            group=self.how.group,
        )

    def metadata(self) -> dict[str, str]:
        """The list of changes and the votes that a metric was computed under, with their digests; empty without."""
        files = {
            name: file for name, file in (("clean", self.how.clean), ("votes", self.how.votes)) if file is not None
        }
        digests = {f"{name}_sha256": file_sha256(file) for name, file in files.items()}
        return {**{name: str(file) for name, file in files.items()}, **digests}

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Metadata of this data, machine and command, for environment.json."""
        return environment(self.path, {**(extra or {}), **self.metadata()})


def environment_of(source: Source | None) -> dict[str, str]:
    """:meth:`Source.environment`, also where no data is given."""
    return environment("not given") if source is None else source.environment()


def _describe(result: ReadResult) -> None:
    for each in result.notes:
        notice(each.line)
    for source, reason in result.skipped:
        notice(f"skipped {reason}" if reason.startswith(source) else f"skipped {source}: {reason}")


def _describe_changes(cleaned: ReadResult, changes: Clean, path: Path) -> None:
    assert cleaned.uncleaned is not None
    before, after = cleaned.uncleaned.counts_by_split(), cleaned.faces.counts_by_split()
    dropped = {split: sum(counts) - sum(after.get(split, ())) for split, counts in before.items()}
    parts = ", ".join(f"{count:,} of {split}" for split, count in dropped.items() if count) or "no samples"
    relabelled = sum(each.to is not None for each in changes.changes)
    notice(f"{path}: dropped {parts}; relabelled {relabelled:,}.")
