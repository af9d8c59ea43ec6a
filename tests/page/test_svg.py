"""Oracles: names that must stay apart; what matplotlib was asked for."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.page.charts.svg import shorten


@given(st.text(max_size=80), st.integers(3, 40))
def test_a_short_name_is_itself_and_a_long_one_keeps_both_its_ends(name, longest):
    found = shorten(name, longest)
    assert len(found) <= longest
    # A space before it: matplotlib leaves what begins with an underscore out of legends.
    name = f" {name}" if name.startswith("_") else name
    if len(name) <= longest:
        assert found == name
    else:
        assert len(found) == longest
        start, end = found.split("…")[0], found[len(found) - longest // 3 :]
        assert (name[: len(start)], name[-len(end) :]) == (start, end)


@pytest.mark.parametrize("backend", ["module://gone.backend", "nonsense", "svg"])
def test_a_backend_that_is_not_here_draws_all_the_same(backend):
    """A notebook hands its MPLBACKEND to what it starts. It stays as it was for programs started from here."""
    script = (
        "from mien.page.charts.svg import make_chart; import os\n"
        "make_chart('a', lambda axes: axes.plot([1, 2]), height_inches=2).file('png')\n"
        "print(os.environ['MPLBACKEND'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "MPLBACKEND": backend}, text=True, capture_output=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.strip() == backend
