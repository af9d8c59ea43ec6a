import signal

import pytest

from mien.training.interrupt import interruptible


def test_the_first_ctrl_c_is_noted_the_second_stops():
    with interruptible() as interrupted:
        assert not interrupted.is_set()
        signal.raise_signal(signal.SIGINT)
        assert interrupted.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_inside_a_block_ends_the_blocks_around_it_too():
    with interruptible() as outer:
        with interruptible() as inner:
            signal.raise_signal(signal.SIGINT)
        assert inner.is_set()
        assert outer.is_set()
    with interruptible() as later:
        assert not later.is_set()
