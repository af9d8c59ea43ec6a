import threading
import time

import pytest

from mien.base.processes import ordered_map


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_ordered_map_keeps_the_order(workers):
    def work(item):
        time.sleep(0.002 * (item % 3))
        return item * item

    assert list(ordered_map(work, iter(range(40)), workers)) == [item * item for item in range(40)]
    assert list(ordered_map(work, (), workers)) == []


@pytest.mark.parametrize("workers", [1, 3])
def test_ordered_map_reads_a_bounded_number_ahead(workers):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield taken

    answers = ordered_map(lambda item: item, endless(), workers)
    for index in range(1, 30):
        assert next(answers) == index
        assert taken <= index + 2 * workers
    answers.close()


def test_ordered_map_works_in_parallel():
    """Each of three waits for the other two: one after another they would wait for ever."""
    barrier = threading.Barrier(3, timeout=600)
    assert len(list(ordered_map(lambda _: barrier.wait(), range(3), 3))) == 3


@pytest.mark.parametrize("workers", [1, 3])
def test_ordered_map_raises_at_the_item_and_ends(workers):
    begun = []

    def work(item):
        begun.append(item)
        if item == 5:
            raise ValueError("five")
        return item

    answers = ordered_map(work, iter(range(1000)), workers)
    assert [next(answers) for _ in range(5)] == list(range(5))
    with pytest.raises(ValueError, match="five"):
        next(answers)
    assert len(begun) <= 6 + 3 * workers
