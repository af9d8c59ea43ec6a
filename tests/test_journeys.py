"""How many files of mien the two main journeys pass. Oracle: the calls that Python makes. The limits only go down."""

import sys
from pathlib import Path

from PIL import Image

import mien

SOURCE = str(Path(mien.__file__).parent)


def files_passed(journey):
    """The files in which a function was called, modules that are loaded meanwhile left out."""
    files = set()

    def note(frame, event, argument):
        code = frame.f_code
        if event == "call" and code.co_name != "<module>" and code.co_filename.startswith(SOURCE):
            files.add(code.co_filename[len(SOURCE) + 1 :])

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        journey()
    finally:
        sys.setprofile(before)
    return sorted(files)


def test_the_command_train_passes_few_files(tmp_path, face_folder, mien):
    words = ("train", "quick", "--data", face_folder, "--epochs", 1, "--quiet", "--out")
    mien(*words, tmp_path / "first")  # modules are loaded once
    passed = files_passed(lambda: mien(*words, tmp_path / "second"))
    assert {"training/loop.py", "exporting/to_onnx.py"} < set(passed)
    assert len(passed) <= 63, passed


def test_the_command_predict_passes_few_files(tmp_path, astronaut, mien):
    Image.fromarray(astronaut).save(tmp_path / "photo.png")
    mien("predict", tmp_path / "photo.png", "--model", "fast")  # modules are loaded once
    passed = files_passed(lambda: mien("predict", tmp_path / "photo.png", "--model", "fast"))
    assert "inference/face_reader.py" in passed
    assert len(passed) <= 21, passed
