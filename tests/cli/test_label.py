"""Oracles: the files of two people, as mien label writes them."""

import json

import numpy as np
from PIL import Image

from mien.data.ballots import Vote, write_ballot
from support import refused


def test_command_merges_votes_and_rejects_options(mien, tmp_path):
    Image.fromarray(np.full((48, 48), 90, dtype=np.uint8)).save(tmp_path / "a.png")
    for person in ("anna", "ben"):
        write_ballot(tmp_path / "votes" / f"{person}.csv", [Vote("a.png", "sad")])
    answer = mien("label", tmp_path, "--merge", "--votes", tmp_path / "votes", "--json")
    assert json.loads(answer.out)["people"] == ["anna", "ben"], answer.err
    assert mien("label", tmp_path, "--merge", "--votes", tmp_path / "votes").code == 0
    refused(mien("label", tmp_path, "--name", "a", "--votes", tmp_path / "a.png"), "out-is-file", "--votes")
    refused(mien("label", tmp_path), "options", "--name", "--merge")
    refused(mien("label", tmp_path, "--name", "a", "--votes", tmp_path / "votes", "--json"), "options", "--json")
