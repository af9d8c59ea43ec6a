"""Options for reading the data given to a command."""

from dataclasses import dataclass
from pathlib import Path

from mien.api.inputs import Source
from mien.base.errors import DataError
from mien.base.files import file_sha256
from mien.base.labels import parse_map
from mien.cli.output import environment, notice, show_notices
from mien.data.clean import read_clean
from mien.data.read import ReadResult, check_source
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

    def at(self, path: str | Path) -> Source:
        """Return the data at a path with these options. Raises DataError for what can be seen before it is read."""
        check_source(path)
        beside = {name: file for name in ("clean", "votes") if (file := getattr(self, name, None)) is not None}
        for name, file in beside.items():
            read_clean(file) if name == "clean" else read_ferplus(file)
        names = parse_map(self.class_map) if self.class_map else {}
        files = {name: str(file) for name, file in beside.items()}
        files |= {f"{name}_sha256": file_sha256(file) for name, file in beside.items()}
        options = ReadOptions(class_map=names, skip_bad=self.skip_bad, group=self.group, **beside)
        return Source(Path(path), options, _show, files, environment(path))

    def at_any(self, data: str | Path | None) -> Source | None:
        """Return the data, or None if no path is given. Without a path, options are an error."""
        if data is not None:
            return self.at(data)
        if any(vars(self).values()):
            raise DataError("--map, --skip-bad, --clean, --group and --votes need --data PATH.", code="options")
        return None


@dataclass(frozen=True, kw_only=True)
class SourceOptions(AuditedOptions):
    """Options for reading data, including a list of changes.

    Options:
        clean (FILE): Drop and relabel samples as listed in this clean.toml from `mien audit`.
    """

    clean: Path | None = None


def _show(result: ReadResult) -> None:
    show_notices(result.notes)
    for source, reason in result.skipped:
        notice(f"skipped: {reason}" if source in reason else f"skipped: {source}: {reason}")
