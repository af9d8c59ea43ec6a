"""Oracles: a package taken away by hand; the versions that importlib.metadata gives."""

import json
from importlib import metadata

import numpy as np

from mien.cli import doctor
from mien.data.read import load_dataset
from mien.data.synthetic import synthetic_faces
from support import refused


def test_doctor_names_missing_packages_and_extras(mien, monkeypatch):
    """Oracle: matplotlib is taken away, onnx made old; onnxruntime may have come by another package."""

    def version(name):
        if name in {"matplotlib", "onnxruntime"}:
            raise metadata.PackageNotFoundError(name)
        return "0.1" if name == "onnx" else metadata.version(name)

    monkeypatch.setattr(doctor, "version", version)
    answer = mien("doctor", "--json")
    assert answer.code == 0, answer.err
    found = {each["name"]: each for each in json.loads(answer.out)}
    assert found["extra report"]["to_add_it"] == "pip install 'mien[report]'"
    assert "matplotlib" in found["extra report"]["found"]
    assert "onnx>=1.17 (found 0.1)" in found["extra train"]["found"]
    # search asks for mien[train,report]: both faults are its own.
    assert {"matplotlib", "onnx>=1.17 (found 0.1)"} <= set(found["extra search"]["found"].split(": ")[1].split(", "))
    assert found["extra serve"] == {"name": "extra serve", "found": "works", "to_add_it": ""}


def test_a_folder_of_drawn_faces_is_the_data_set_that_was_drawn(mien, tmp_path):
    """Oracle: the faces drawn in memory."""
    folder = tmp_path / "new" / "faces"
    answer = mien("data", "synthetic", folder, "--faces", 90, "--seed", 3)
    assert answer.code == 0, answer.err
    drawn, read = synthetic_faces(90, 3), load_dataset(folder)
    for split in ("train", "validation", "test"):
        expected, found = drawn.of_split(split), read.of_split(split)
        assert sorted(image.tobytes() for image in found.images) == sorted(image.tobytes() for image in expected.images)
        names = [np.array(each.classes)[each.labels] for each in (expected, found)]
        assert sorted(names[0]) == sorted(names[1])
    refused(mien("data", "synthetic", folder), "folder-exists")
    assert [each.name for each in folder.parent.iterdir()] == ["faces"]
