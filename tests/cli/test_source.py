"""Oracle: SHA-256 of the list's bytes."""

from __future__ import annotations

import hashlib

import pytest

from mien.base.errors import DataError
from mien.cli.source import Source, SourceOptions, SourceVotesOptions
from support import raises


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
    path = paths.pop("path", face_folder)
    with raises(DataError, code, named):
        SourceVotesOptions(**paths).at(path).check()


def test_what_a_figure_was_made_under_is_known_to_the_byte(tmp_path):
    changes = tmp_path / "clean.toml"
    changes.write_bytes(b"# nothing yet\n")
    facts = SourceOptions(clean=changes).at(tmp_path).environment({"teachers": "a"})
    assert facts["clean_sha256"] == hashlib.sha256(b"# nothing yet\n").hexdigest()
    assert (facts["teachers"], facts["clean"], facts["data"]) == ("a", str(changes), str(tmp_path))
    assert "clean" not in Source(tmp_path).environment()
