"""How a share of people or a probability is written."""

from __future__ import annotations


def share_text(share: float) -> str:
    """A share or probability in whole percent, as the page writes it: nobody and everybody are exact.

    >>> share_text(0.984), share_text(0.997), share_text(1), share_text(0.001)
    ('98%', '>99%', '100%', '<1%')
    """
    if 0 < share < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= share < 1 else f"{share:.0%}"
