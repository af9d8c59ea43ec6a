"""How numbers and tables look in docs/results.md."""

from __future__ import annotations

from mien.evaluation.results import Estimate
from mien.evaluation.seed_variance import RepeatedDifference


def duration(seconds: float) -> str:
    """Seconds, or minutes where they are many."""
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"


def percent(fraction: float) -> str:
    """One decimal."""
    return f"{100 * fraction:.1f}%"


def interval(value: dict[str, float], sign: str = "%") -> str:
    """A value of a file with its interval; ``sign`` comes after the value."""
    return f"{100 * value['value']:.1f}{sign} [{100 * value['low']:.1f}, {100 * value['high']:.1f}]"


def estimate(value: Estimate) -> str:
    """A value in percent with its interval."""
    return f"{100 * value.value:.1f}% [{100 * value.low:.1f}, {100 * value.high:.1f}]"


def points(found: RepeatedDifference, flip: bool = False) -> str:
    """A difference in points with its interval; ``flip`` turns its sign."""
    value, low, high = found.difference.value, found.difference.low, found.difference.high
    if flip:
        value, low, high = -value, -high, -low
    return f"{100 * value:.1f} points [{100 * low:.1f}, {100 * high:.1f}]"


def markdown_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table of Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
