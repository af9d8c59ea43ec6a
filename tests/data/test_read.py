from pathlib import Path

import pytest

from mien.base.errors import DataError
from mien.base.images import open_image
from mien.data.read import ReadOptions, load_dataset, read_data
from support import raises


def test_read_data_names_a_similar_file_and_a_run_folder(kaggle_table, tiny_run):
    with raises(DataError, "data-missing", "fer2103.csv", "'fer2013.csv'"):
        read_data(kaggle_table.with_name("fer2103.csv"))
    with raises(DataError, "data-unknown"):
        read_data(tiny_run.path)


def test_read_data_prefers_kaggles_table_in_a_folder(kaggle_table, write_csv):
    folder = kaggle_table.parent
    write_csv(folder / "example_submission.csv", "id,emotion", [])
    assert len(load_dataset(folder)) == 20
    kaggle_table.rename(folder / "train.csv")
    with raises(DataError, "data-unknown", "example_submission.csv, train.csv"):
        load_dataset(folder)


@pytest.mark.parametrize("native", [30, 48, 100])
def test_fingerprint_and_splits_ignore_the_size(tmp_path, noise, write_tree, native):
    """Without splits in the data: the cut goes by pixels, and must be the same for models of every size."""
    images = noise(40, side=native)
    tree = write_tree(tmp_path / "tree", {f"{('sad', 'fear')[row % 2]}/{row}.png": images[row] for row in range(40)})
    plain = read_data(tree)
    for size_px in (40, 64):
        fresh, cached = read_data(tree, ReadOptions(size_px=size_px)), read_data(tree, ReadOptions(size_px=size_px))
        assert (fresh.cached, cached.cached) == (False, True)
        for found in (fresh, cached, read_data(tree, ReadOptions(size_px=size_px), cache=False)):
            assert found.faces.images.shape == (40, size_px, size_px)
            assert found.fingerprint == found.faces.fingerprint == plain.fingerprint
            assert found.faces.split.tolist() == plain.faces.split.tolist()
            assert found.split_origin == plain.split_origin


def test_read_data_opens_images_once_at_every_size(tmp_path, noise, write_tree, monkeypatch):
    """Oracle: the number of files; fingerprint and cut are those of 48 px all the same."""
    opened = []
    monkeypatch.setattr("mien.data.image_store.open_image", lambda each: opened.append(each) or open_image(each))
    tree = write_tree(tmp_path / "tree", {f"{('sad', 'fear')[row % 2]}/{row}.png": noise(8)[row] for row in range(8)})
    read_data(tree, ReadOptions(size_px=64), cache=False)
    assert len(opened) == 8


def test_matches_training_data_ignores_the_test_split(tmp_path, noise, write_csv, as_pixels):
    """As Kaggle's whole file is to one who learnt from Training and PublicTest; every other change is none."""
    usages = ["Training"] * 6 + ["PublicTest"] * 3 + ["PrivateTest"] * 3
    rows = [(row % 2, as_pixels(image), usages[row]) for row, image in enumerate(noise(12))]

    def written(name: str, some: list[tuple[int, str, str]]) -> Path:
        return write_csv(tmp_path / name, "emotion,pixels,Usage", some)

    whole, without = written("whole.csv", rows), written("without.csv", rows[:9])
    other = written("other.csv", [(1, *rows[0][1:]), *rows[1:]])
    for how in (ReadOptions(size_px=48), ReadOptions(size_px=64)):
        for _ in ("fresh", "cached"):
            all_faces, learnt, others = (read_data(each, how).faces for each in (whole, without, other))
            assert all_faces.fingerprint != learnt.fingerprint
            assert all_faces.fingerprint_without_test == learnt.fingerprint_without_test == learnt.fingerprint
            pairs = (all_faces, learnt), (learnt, all_faces), (others, learnt)
            assert [one.matches_training_data(of.fingerprint) for one, of in pairs] == [True, False, False]
            prints = {each.fingerprint_for_predictions("validation") for each in (all_faces, learnt)}
            assert len(prints) == 1
            assert all_faces.fingerprint_for_predictions("test") == all_faces.fingerprint
            assert all_faces.rows[all_faces.split != "test"].tolist() == learnt.rows.tolist()
    test = all_faces.of_split("test")
    assert test.fingerprint_without_test == test.fingerprint


def test_fingerprint_for_predictions_includes_test_where_rows_shift(tmp_path, noise, write_tree):
    """In class folders a face is known by its place: scores of the one would be of other faces of the other."""
    images = noise(12)
    learnt = [
        f"{split}/{name}/{row}.png" for split in ("train", "validation") for name in ("fear", "sad") for row in "ab"
    ]
    tests = [f"test/{name}/{row}.png" for name in ("fear", "sad") for row in "ab"]
    whole = load_dataset(write_tree(tmp_path / "whole", dict(zip(learnt + tests, images, strict=True))))
    without = load_dataset(write_tree(tmp_path / "without", dict(zip(learnt, images, strict=False))))
    assert whole.rows[whole.split != "test"].tolist() != without.rows.tolist()
    assert whole.matches_training_data(without.fingerprint), "to a model it is the same"
    assert whole.fingerprint_for_predictions("validation") == whole.fingerprint
    assert without.fingerprint_for_predictions("validation") == without.fingerprint != whole.fingerprint
