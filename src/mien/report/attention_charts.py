"""Charts of attention maps and of features in two dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from mien.explanation.faithfulness import Faithfulness
from mien.page.charts.curves import line_style
from mien.page.charts.svg import INK, Chart, legend_above, make_chart, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def faithfulness_chart(
    named: Sequence[tuple[str, Faithfulness]], random: Faithfulness, kind: Literal["deletion", "insertion"]
) -> Chart:
    """Deletion or insertion curves of each method, of its maps at a random position, and of random maps."""

    def draw(axes: Axes) -> None:
        for index, (name, each) in enumerate(named):
            colour, _ = line_style(index)
            maps, moved = (
                (each.deletion, each.random_deletion) if kind == "deletion" else (each.insertion, each.random_insertion)
            )
            axes.plot(100 * each.shares, maps, color=colour, linewidth=1.5, label=name)
            axes.plot(100 * each.shares, moved, ":", color=colour, linewidth=1.0)
        random_curve = random.deletion if kind == "deletion" else random.insertion
        axes.plot(100 * random.shares, random_curve, "--", color=INK, linewidth=1.2, label="random map")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("blurred pixels, %" if kind == "deletion" else "restored pixels, %")
        axes.set_ylabel("mean probability of the class")
        axes.grid()
        legend_above(axes, 3)

    return make_chart(kind, draw, height_inches=3.2)


def scatter_chart(
    name: str,
    points: npt.NDArray[np.float64],
    kinds: npt.NDArray[np.int64],
    names: Sequence[str],
    colours: Sequence[str],
) -> Chart:
    """Points (N, 2) in the colour of their kind (N,); the points are one raster image inside the SVG."""

    def draw(axes: Axes) -> None:
        for kind, (label, colour) in enumerate(zip(names, colours, strict=True)):
            mine = points[kinds == kind]
            if len(mine):
                across, up = mine.T
                axes.scatter(
                    across, up, s=5, color=colour, alpha=0.6, linewidth=0, label=shorten(label), rasterized=True
                )
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        legend_above(axes, 4, markerscale=2, handletextpad=0.1)

    return make_chart(name, draw, height_inches=4.2)
