"""The figures of maps, and of features in two dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from mien.explain.faithfulness import Faithfulness
from mien.report.plots import look
from mien.report.svg import INK, Drawing, draw, legend_above, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def faithfulness_plot(
    named: Sequence[tuple[str, Faithfulness]], random: Faithfulness, kind: Literal["deletion", "insertion"]
) -> Drawing:
    """Deletion or insertion curves of each method, of its maps moved to a random place, and of random numbers."""

    def paint(axes: Axes) -> None:
        for index, (name, each) in enumerate(named):
            colour, _ = look(index)
            maps, lost = (
                (each.deletion, each.random_deletion) if kind == "deletion" else (each.insertion, each.random_insertion)
            )
            axes.plot(100 * each.shares, maps, color=colour, linewidth=1.5, label=name)
            axes.plot(100 * each.shares, lost, ":", color=colour, linewidth=1.0)
        scattered = random.deletion if kind == "deletion" else random.insertion
        axes.plot(100 * random.shares, scattered, "--", color=INK, linewidth=1.2, label="random map")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("pixels blurred away, %" if kind == "deletion" else "pixels brought back, %")
        axes.set_ylabel("mean probability of the class")
        axes.grid()
        legend_above(axes, 3)

    return draw(kind, paint, height_inches=3.2)


def scatter_plot(
    name: str,
    points: npt.NDArray[np.float64],
    kinds: npt.NDArray[np.int64],
    names: Sequence[str],
    colours: Sequence[str],
) -> Drawing:
    """Points (N, 2) in the colour of their kind (N,); the points are one picture inside the drawing."""

    def paint(axes: Axes) -> None:
        for kind, (label, colour) in enumerate(zip(names, colours, strict=True)):
            mine = points[kinds == kind]
            if len(mine):
                across, up = mine.T
                axes.scatter(across, up, s=5, color=colour, alpha=0.6, linewidth=0, label=short(label), rasterized=True)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        legend_above(axes, 4, markerscale=2, handletextpad=0.1)

    return draw(name, paint, height_inches=4.2)
