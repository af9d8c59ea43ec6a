"""The data that a command was pointed at: checked, read, described."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from mien.base.errors import DataError
from mien.base.files import file_sha256
from mien.base.labels import parse_map
from mien.cli.options import DataOption
from mien.cli.output import environment, notice, show_notices
from mien.data.clean import read_clean
from mien.data.face_table import ReadOptions
from mien.data.read import ReadResult, read_data
from mien.data.shapes import describe_source
from mien.data.votes import read_ferplus


@dataclass(frozen=True)
class AuditedOptions:
    """How to read data as they are."""

    class_map: Annotated[
        str | None, typer.Option("--map", help="Rename classes of the data: 'joy=happy,0=angry'.", metavar="A=B,...")
    ] = None
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Skip and list images that cannot be read.")] = False
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


@dataclass(frozen=True)
class SourceOptions(AuditedOptions):
    """How to read data that a command names by itself, or not at all."""

    clean: Annotated[
        Path | None,
        typer.Option(
            "--clean", help="Drop and relabel samples as listed in this clean.toml from `mien audit`.", metavar="FILE"
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
        how = self.how
        names = parse_map(how.class_map) if how.class_map else {}
        options = ReadOptions(size_px, channels, names, how.skip_bad, how.group, how.votes, how.clean)
        result = read_data(self.path, options)
        if not again:
            show_notices(result.notes)
            for source, reason in result.skipped:
                notice(f"skipped {reason}" if reason.startswith(source) else f"skipped {source}: {reason}")
        return result

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
