from dataclasses import replace

import numpy as np
import pytest

from mien.base.errors import DataError
from mien.evaluation.paired_tests import average_predictions
from mien.evaluation.predictions import Predictions, read_predictions, write_predictions
from support import raises


def predictions(seed, rows=(9, 4, 7), classes=("a", "b", "c"), fingerprint="sha256:x"):
    shares = np.random.default_rng(seed).dirichlet(np.ones(3), 3)
    return Predictions(np.array(rows), np.array([0, 1, 2]), shares, classes, "validation", fingerprint)


def test_the_mean_goes_by_row_and_class_name_in_the_order_of_the_first():
    """Oracle: three rows put together by hand."""
    first, second = predictions(0), predictions(1)
    turned = Predictions(
        np.array([4, 7, 9]),
        np.array([1, 0, 2]),  # b, c, a in the other order of classes
        second.probabilities[[1, 2, 0]][:, [2, 1, 0]],
        ("c", "b", "a"),
        "validation",
        "sha256:x",
    )
    mean = average_predictions([first, turned])
    assert mean.sample_ids.tolist() == [9, 4, 7]
    assert mean.labels.tolist() == [0, 1, 2]
    assert mean.classes == ("a", "b", "c")
    assert mean.probabilities == pytest.approx((first.probabilities + second.probabilities) / 2)
    assert np.array_equal(average_predictions([first]).probabilities, first.probabilities)
    warm = replace(first, temperature=2.0)
    assert (average_predictions([warm, warm]).temperature, average_predictions([warm, first]).temperature) == (
        2.0,
        None,
    )


def test_what_does_not_belong_together_is_refused():
    for other, code in (
        (predictions(1, rows=(9, 4, 8)), "samples-differ"),
        (predictions(1, classes=("a", "b", "d")), "classes-differ"),
        (predictions(1, fingerprint="sha256:y"), "data-differs"),
    ):
        with raises(DataError, code):
            average_predictions([predictions(0), other])


def test_float16_keeps_three_digits(tmp_path):
    write_predictions(tmp_path / "half.npz", predictions(0), np.float16)
    read = read_predictions(tmp_path / "half.npz")
    assert read.probabilities == pytest.approx(predictions(0).probabilities, abs=5e-4)
    with np.load(tmp_path / "half.npz") as arrays:
        assert arrays["probabilities"].dtype == np.float16
