"""Oracle: a clock around the same steps."""

from __future__ import annotations

import time

from mien.training.throughput import images_per_second, training_throughput


def test_the_rate_is_images_over_seconds(tiny_recipe, monkeypatch):
    # A clock that ticks a tenth of a second each time it is read: the rate follows from the number of steps alone.
    ticks = iter(range(10_000))
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks) / 10)
    rate = images_per_second(tiny_recipe, 7, 44, seconds=1.0)
    # Read once at the start, once a step until more than a second has gone, and once for the result: 11 steps, 1.2 s.
    assert rate == 11 * tiny_recipe.batch_size / 1.2


def test_each_side_counts_by_its_share_of_the_run(tiny_recipe, monkeypatch):
    recipe = tiny_recipe.model_copy(update={"progressive_resizing": ((0.25, 28),)})
    monkeypatch.setattr(
        "mien.training.throughput.images_per_second", lambda r, c, side, s: {28: 400.0, 44: 100.0}[side]
    )
    # A quarter of the images at 400/s and three quarters at 100/s.
    assert abs(training_throughput(recipe, 7) - 1 / (0.25 / 400 + 0.75 / 100)) < 1e-9
