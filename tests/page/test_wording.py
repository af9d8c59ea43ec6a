"""Numbers as they are written. Oracle: by hand."""

import math

from mien.page.wording import points, signed
from mien.video.page import clock


def test_no_difference_has_no_sign_of_its_own():
    assert [points(each) for each in (-0.0001, 0.012, -0.012, math.nan)] == ["+0.0", "+1.2", "-1.2", "–"]
    assert [signed(each) for each in (-0.0001, 0.0123, math.nan)] == ["+0.000", "+0.012", "–"]


def test_a_time_is_never_sixty_seconds():
    assert [clock(each) for each in (59.94, 59.96, 60)] == ["59.9 s", "1:00", "1:00"]
