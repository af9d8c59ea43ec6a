"""How commands end that make a network from trained ones, with prune for an example. Oracle: the files themselves."""

from dataclasses import replace
from hashlib import sha256

import numpy as np

from mien.artifact import read_manifest
from mien.data.parquet import write_parquet
from mien.run_folder import RunFolder


def test_a_network_that_was_made_is_shown_and_says_under_which_list(mien, tiny_run, faces, tmp_path):
    data, out = tmp_path / "faces.parquet", tmp_path / "thin"
    write_parquet(faces, data)
    assert mien("audit", data, "--out", tmp_path / "audit", "-q").code == 0
    clean = tmp_path / "audit" / "clean.toml"
    answer = mien("prune", tiny_run.path, "--data", data, "--out", out, "--widths", "4,6", "--clean", clean)
    assert answer.code == 0, answer.err
    assert "Accuracy" in answer.out
    assert f"{out}: stages of 4,6 channels" in answer.err
    facts = RunFolder(out).read_environment()
    assert facts["clean"] == str(clean)
    assert facts["clean_sha256"] == sha256(clean.read_bytes()).hexdigest()


def test_votes_that_are_missing_are_told_of(mien, voted_run, voted_faces, faces, tmp_path):
    """Oracle: the manifest. Without votes no temperature can be fitted for what people would say."""
    of_train = np.where((faces.split == "train")[:, None], voted_faces.votes, 0)
    without = replace(voted_faces, columns={"ferplus_votes": of_train})
    for name, read, fitted in (("voted", voted_faces, True), ("plain", faces, False), ("train", without, False)):
        data, out = tmp_path / f"{name}.parquet", tmp_path / f"thin-{name}"
        write_parquet(read, data)
        answer = mien("prune", voted_run.path, "--data", data, "--out", out, "--widths", "4,6")
        assert answer.code == 0, answer.err
        assert (read_manifest(RunFolder(out).model).output().temperature != 1) == fitted
        assert ("temperature-not-fitted" in answer.err) != fitted
