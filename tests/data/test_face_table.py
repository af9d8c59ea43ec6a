from __future__ import annotations

import numpy as np

from mien.data.face_table import ClassNames, find_column, free_name, index_classes, relabel, split_of
from mien.errors import DataError
from support import raises


def test_the_map_comes_before_synonyms_and_matches_without_case() -> None:
    names = ClassNames({"Contempt": "disgust", "joy": "Surprise", "3": "sad"})
    assert names.name(" contempt ") == "disgust"
    assert names.name("Joy") == "surprise"
    assert names.name("Happiness") == "happy"
    assert names.name("bored") == "bored"
    assert names.numbered("3", "line 1") == "sad"
    assert names.numbered("0", "line 1") == "angry"
    assert names.numbered("Anger", "line 1") == "angry"
    names.check_map("x.csv")


def test_a_number_may_be_mapped_by_the_name_it_stands_for() -> None:
    assert ClassNames({"disgust": "angry"}).numbered("1", "line 1") == "angry"


def test_an_entry_of_the_map_that_never_occurred_is_refused() -> None:
    names = ClassNames({"contemt": "disgust"})
    names.name("contempt")
    with raises(DataError, "map-unused", "'contemt'", "'contempt'"):
        names.check_map("own")


def test_classes_are_ordered_and_labels_follow() -> None:
    labels, classes = index_classes(["zeal", "happy", "angry", "happy"])
    assert classes == ("angry", "happy", "zeal")
    assert labels.tolist() == [2, 1, 0, 1]
    moved, wanted = relabel(labels, classes, ("happy", "sad", "zeal", "angry"))
    assert np.array(wanted)[moved].tolist() == ["zeal", "happy", "angry", "happy"]


def test_split_names_that_mean_nothing_are_named_with_their_place() -> None:
    assert split_of(" PublicTest", "line 3") == "validation"
    assert split_of("  ", "line 3") == ""
    with raises(DataError, "split-unknown", "line 3", "'holdout'"):
        split_of("holdout", "line 3")


def test_columns_are_found_in_the_order_of_what_is_wanted() -> None:
    assert find_column(["emotion", " Label "], ("label", "emotion")) == 1
    assert find_column(["a", "b"], ("label",)) is None


def test_names_that_the_parquet_layout_uses_are_moved_aside() -> None:
    assert [free_name(name) for name in ("age", "Row", "split", "source")] == ["age", "Row_", "split_", "source_"]
