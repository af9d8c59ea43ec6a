"""The data given to a command: options, checks, loading, metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mien.base.errors import DataError
from mien.base.files import file_sha256
from mien.base.labels import parse_map
from mien.cli.output import environment, notice, show_notices
from mien.data.clean import read_clean
from mien.data.read import ReadResult, check_source, read_data
from mien.data.table import ReadOptions
from mien.data.votes import read_ferplus


@dataclass(frozen=True, kw_only=True)
class AuditedOptions:
    """Options for reading data without cleaning it.

    Options:
        class_map (A=B,...): Rename classes of the data: 'joy=happy,0=angry'.
        skip_bad: Skip and list images that cannot be read.
        group (COLUMN): Group the samples, for example by person or video. Splits and folds never divide a group. COLUMN
            is a column of the data; with class folders, folder1 is the folder inside the class folder. Or give a
            regular expression for file names: '(p[0-9]+)_' groups by the part in parentheses.
        votes (FILE): The file fer2013new.csv of FER+. Its votes are added to FER2013.
    """

    class_map: str | None = None
    skip_bad: bool = False
    group: str | None = None
    votes: Path | None = None


@dataclass(frozen=True, kw_only=True)
class SourceOptions(AuditedOptions):
    """Options for reading data, including a list of changes.

    Options:
        clean (FILE): Drop and relabel samples as listed in this clean.toml from `mien audit`.
    """

    clean: Path | None = None

    def at(self, path: Path) -> Source:
        """Return the data at a path with these options."""
        return Source(path, self)

    def at_any(self, data: Path | None) -> Source | None:
        """Return the data, or None if no path is given. Without a path, options are an error."""
        if data is not None:
            return self.at(data)
        if self != SourceOptions():
            raise DataError("--map, --skip-bad, --clean, --group and --votes need --data PATH.", code="options")
        return None


@dataclass(frozen=True)
class Source:
    """A data path with the options for reading it."""

    path: Path
    how: SourceOptions = SourceOptions()

    def check(self) -> None:
        """Check quickly for errors that :meth:`read` would find later, because loading torch takes seconds."""
        check_source(self.path)
        if self.how.class_map:
            parse_map(self.how.class_map)
        if self.how.clean is not None:
            read_clean(self.how.clean)
        if self.how.votes is not None:
            read_ferplus(self.how.votes)

    def read(self, size_px: int = 48, channels: int = 1, *, again: bool = False) -> ReadResult:
        """Read the data. Print which images were skipped, and what the list of changes did, unless ``again``.

        Raises DataError if the data cannot be read, or the list of changes is for other data.
        """
        how = self.how
        names = parse_map(how.class_map) if how.class_map else {}
        options = ReadOptions(size_px, channels, names, how.skip_bad, how.group, how.votes, how.clean)
        result = read_data(self.path, options)
        if not again:
            show_notices(result.notes)
            for source, reason in result.skipped:
                notice(f"skipped: {reason}" if source in reason else f"skipped: {source}: {reason}")
        return result

    def metadata(self) -> dict[str, str]:
        """Return paths and digests of the list of changes and the votes file, for results; empty without them."""
        files = {name: file for name in ("clean", "votes") if (file := getattr(self.how, name)) is not None}
        digests = {f"{name}_sha256": file_sha256(file) for name, file in files.items()}
        return {**{name: str(file) for name, file in files.items()}, **digests}

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return metadata of this data, machine and command, for environment.json."""
        return environment(self.path, {**(extra or {}), **self.metadata()})


def environment_of(source: Source | None) -> dict[str, str]:
    """Return :meth:`Source.environment`, or only metadata of machine and command if there is no data."""
    return environment("not given") if source is None else source.environment()
