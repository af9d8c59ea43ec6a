"""Oracle: the words as they shall stand on a page."""

from __future__ import annotations

import pytest

from mien.page.rendering import _keep_together


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("61.2 ± 0.4% (59.2%)", "61.2 ±_0.4% (59.2%)"),
        ("2,926 (5 classes)", "2,926 (5_classes)"),
        ("85 min (1 thread), 4 min (GPU)", "85 min (1_thread), 4 min (GPU)"),
        ("0.0 s to 2.9 s, 3 samples", "0.0_s to 2.9_s, 3 samples"),
        ("90% of all (see 3 below) ± nothing", "90% of all (see 3 below) ± nothing"),
    ],
)
def test_no_line_ends_within_what_is_read_as_one(words, kept):
    assert _keep_together(words) == kept.replace("_", "\N{NO-BREAK SPACE}")


def test_what_is_not_text_stays():
    assert _keep_together(3) == 3
