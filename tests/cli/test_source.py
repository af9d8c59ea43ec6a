"""Oracles: the options as typer reads them back, and SHA-256 of the list's bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from mien.base.errors import DataError
from mien.cli.options import CleanOption, DataOption, MapOption, SkipBadOption, VotesOption
from mien.cli.source import Source
from support import raises


@pytest.mark.parametrize(
    "source",
    [
        Source(Path("a folder")),
        Source(Path("faces.csv"), class_map="joy=happy", skip_bad=True, clean=Path("clean.toml"), votes=Path("v.csv")),
        Source(Path("-faces"), class_map=""),
    ],
)
def test_its_words_point_another_command_at_the_same(source):
    app, read = Typer(), []

    @app.command()
    def command(
        data: DataOption,
        class_map: MapOption = None,
        skip_bad: SkipBadOption = False,
        clean: CleanOption = None,
        votes: VotesOption = None,
    ) -> None:
        read.append(Source(data, class_map, skip_bad, clean, votes))

    assert CliRunner().invoke(app, source.options()).exit_code == 0
    assert read == [source]


@pytest.mark.parametrize(
    ("how", "code", "named"),
    [
        ({"clean": "none.toml"}, "clean-missing", "none.toml"),
        ({"votes": "none.csv"}, "votes-unreadable", "none.csv"),
        ({"class_map": "joy"}, "map-syntax", "joy"),
        ({"path": "nowhere.csv"}, "data-missing", "nowhere.csv"),
    ],
)
def test_what_cannot_be_read_is_refused_at_a_glance(tmp_path, face_folder, how, code, named):
    Source(face_folder).check()
    paths = {name: value if name == "class_map" else tmp_path / value for name, value in how.items()}
    with raises(DataError, code, named):
        Source(**{"path": face_folder, **paths}).check()


def test_what_a_figure_was_made_under_is_known_to_the_byte(tmp_path):
    changes = tmp_path / "clean.toml"
    changes.write_bytes(b"# nothing yet\n")
    facts = Source(tmp_path, clean=changes).environment({"teachers": "a"})
    assert facts["clean_sha256"] == hashlib.sha256(b"# nothing yet\n").hexdigest()
    assert (facts["teachers"], facts["clean"], facts["data"]) == ("a", str(changes), str(tmp_path))
    assert "clean" not in Source(tmp_path).environment()
