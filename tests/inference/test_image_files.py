import json
import os
from pathlib import Path

import pytest

from mien.base.images import IMAGE_SUFFIXES
from mien.inference.predictor import image_files


def test_the_walk_is_the_sorted_list_of_all_images_that_are_not_hidden(tmp_path):
    """Oracle: pathlib's rglob, sorted, which follows no links to folders."""
    names = ("b.png", "a/z.JPG", "a/b/c.gif", "a.png", "a/.hidden.png", ".git/x.png", "a/text.txt", "B.webp", "a/b.png")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "c").symlink_to(tmp_path / "a" / "b")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    expected = sorted(
        path
        for path in (*tmp_path.rglob("*"), tmp_path / "c" / "c.gif")
        if path.suffix.lower() in IMAGE_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(tmp_path).parts)
        and "loop" not in path.parts
    )
    assert image_files(tmp_path) == expected
    assert len(expected) == 8


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
@pytest.mark.parametrize("target", ["gone", "b.png"])
def test_a_link_without_a_target_is_an_image_that_cannot_be_read(tmp_path, mien, face_folder, tiny_run, target):
    (tmp_path / "a.png").write_bytes(next((face_folder / "test" / "happy").iterdir()).read_bytes())
    (tmp_path / "b.png").symlink_to(target)
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "piped.png").symlink_to(tmp_path / "pipe.png")
    given = ("predict", tmp_path, "--crops", "--model", tiny_run.path, "--json")
    assert mien(*given).code == 2
    answer = mien(*given, "--skip-bad")
    failed = {Path(each["source"]).name: "error" in each for each in json.loads(answer.out)}
    assert failed == {"a.png": False, "b.png": True}
    assert f"skipped: {tmp_path / 'b.png'}" in answer.err
