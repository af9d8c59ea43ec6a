"""The data that a command was pointed at: checked, read, described."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mien.base.errors import DataError
from mien.base.files import file_sha256
from mien.base.labels import parse_map
from mien.cli.options import CleanOption, DataOption, GroupOption, MapOption, SkipBadOption, VotesOption
from mien.cli.output import environment, notice
from mien.data.clean import Clean, apply_clean, check_made_for, read_clean
from mien.data.dataset import FINGERPRINT_PX
from mien.data.read import ReadResult, read_data
from mien.data.shapes import describe_source
from mien.data.votes import read_ferplus
from mien.inference.predictor import Predictor


@dataclass(frozen=True)
class Source:
    """Data, and how to read it: the options of the same names.

    Attributes:
        path: ``--data``.
        class_map: ``--map``, as text.
        skip_bad: ``--skip-bad``.
        clean: ``--clean``.
        votes: ``--votes``.
        group: ``--group``.
    """

    path: DataOption
    class_map: MapOption = None
    skip_bad: SkipBadOption = False
    clean: CleanOption = None
    votes: VotesOption = None
    group: GroupOption = None

    def check(self) -> None:
        """Refuse at a glance what :meth:`read` will refuse: for commands that load torch first, which takes seconds.

        Raises:
            DataError: as :meth:`read`.
        """
        describe_source(self.path)
        if self.class_map:
            parse_map(self.class_map)
        if self.clean is not None:
            read_clean(self.clean)
        if self.votes is not None:
            read_ferplus(self.votes)

    def read(self, size_px: int = 48, channels: int = 1, *, again: bool = False) -> ReadResult:
        """Read the data. Print which images were skipped, and what a list of changes did.

        Args:
            size_px: side of the images.
            channels: 1 for grey, 3 for RGB.
            again: the data was read before, at another size; print nothing about it.

        Raises:
            DataError: the data cannot be read, or the list of changes is for other data.
        """
        changes = None if self.clean is None else read_clean(self.clean)
        result = self._read(size_px, channels)
        if not again:
            _describe(result)
        if changes is None or self.clean is None:
            return result
        usual = result if (size_px, channels) == (FINGERPRINT_PX, 1) else self._read(FINGERPRINT_PX, 1)
        check_made_for(changes, result.faces, self.clean)
        try:
            faces = apply_clean(result.faces, changes, usual.faces)
        except DataError as error:
            raise DataError(f"{self.clean}: {error}", code=error.code) from None
        cleaned = replace(result, faces=faces, uncleaned=result.faces)
        if not again:
            _describe_changes(cleaned, changes, self.clean)
        return cleaned

    def _read(self, size_px: int, channels: int) -> ReadResult:
        class_map = parse_map(self.class_map) if self.class_map else None
        return read_data(
            self.path,
            size_px=size_px,
            channels=channels,
            class_map=class_map,
            skip_bad=self.skip_bad,
            votes=self.votes,
            group=self.group,
        )

    def read_for(self, predictors: Sequence[Predictor]) -> list[ReadResult]:
        """The data as each model sees it, in their order. Models of one size and number of channels share it."""
        forms = [each.manifest.input.stored_as for each in predictors]
        read = {form: self.read(*form, again=at > 0) for at, form in enumerate(dict.fromkeys(forms))}
        return [read[form] for form in forms]

    def metadata(self) -> dict[str, str]:
        """The list of changes and the votes that a metric was computed under, with their digests; empty without."""
        files = {name: file for name, file in (("clean", self.clean), ("votes", self.votes)) if file is not None}
        digests = {f"{name}_sha256": file_sha256(file) for name, file in files.items()}
        return {**{name: str(file) for name, file in files.items()}, **digests}

    def environment(self, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Metadata of this data, machine and command, for environment.json."""
        return environment(self.path, {**(extra or {}), **self.metadata()})

    def options(self) -> list[str]:
        """The options that point another command at the same data."""
        words = ["--data", str(self.path)]
        words += [] if self.class_map is None else ["--map", self.class_map]
        words += [] if self.clean is None else ["--clean", str(self.clean)]
        words += [] if self.votes is None else ["--votes", str(self.votes)]
        words += [] if self.group is None else ["--group", self.group]
        return words + (["--skip-bad"] if self.skip_bad else [])

    def absolute(self) -> Source:
        """The same data from any folder."""
        clean, votes = (None if file is None else Path(absolute(file)) for file in (self.clean, self.votes))
        return replace(self, path=Path(absolute(self.path)), clean=clean, votes=votes)

    @staticmethod
    def of_options(words: Sequence[str]) -> Source | None:
        """The source that :meth:`options` wrote; None for other words."""
        named = dict(zip(words[::2], words[1::2], strict=False))
        if "--data" not in named or set(named) - {"--data", "--map", "--clean", "--votes", "--group"}:
            return None
        clean, votes = (Path(named[name]) if name in named else None for name in ("--clean", "--votes"))
        return Source(
            Path(named["--data"]), named.get("--map"), "--skip-bad" in words[-1:], clean, votes, named.get("--group")
        )


def absolute(name: str | Path) -> str:
    """A file or folder by its absolute path; a name, such as that of a model of mien, as it is."""
    return str(Path(name).resolve()) if Path(name).exists() else str(name)


@dataclass(frozen=True)
class SourceOptions:
    """How to read data that a command names by itself, or not at all."""

    class_map: MapOption = None
    skip_bad: SkipBadOption = False
    clean: CleanOption = None
    group: GroupOption = None

    def at(self, path: Path) -> Source:
        """The data at a path."""
        return Source(path, **vars(self))

    def at_any(self, data: Path | None) -> Source | None:
        """None without data, where the options of reading are refused.

        Raises:
            DataError: ``options``.
        """
        if data is not None:
            return self.at(data)
        names = {"class_map": "--map", "skip_bad": "--skip-bad"}
        for name, value in vars(self).items():
            if value is not None and value is not False:
                raise DataError(f"{names.get(name, '--' + name)} needs --data PATH.", code="options")
        return None


@dataclass(frozen=True)
class SourceVotesOptions(SourceOptions):
    """:class:`SourceOptions` of a command that uses votes."""

    votes: VotesOption = None


def environment_of(source: Source | None) -> dict[str, Any]:
    """:meth:`Source.environment`, also where no data is given."""
    return environment("not given") if source is None else source.environment()


def _describe(result: ReadResult) -> None:
    for each in result.notes:
        notice(each.line)
    for source, reason in result.skipped:
        notice(f"skipped {reason}" if reason.startswith(source) else f"skipped {source}: {reason}")


def _describe_changes(cleaned: ReadResult, changes: Clean, path: Path) -> None:
    assert cleaned.uncleaned is not None
    dropped = {
        split: gone
        for split, counts in cleaned.uncleaned.counts_by_split().items()
        if (gone := sum(counts) - int((cleaned.faces.split == split).sum()))
    }
    relabelled = sum(each.to is not None for each in changes.changes)
    parts = ", ".join(f"{count:,} of {split}" for split, count in dropped.items()) or "no samples"
    notice(f"{path}: dropped {parts}; relabelled {relabelled:,}.")
