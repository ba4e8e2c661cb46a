"""Plots of cost per message, as SVG files that say the same each time they are drawn from the same figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ("Curve", "Plot", "draw")


class Curve(NamedTuple):
    name: str
    points: Mapping[int, float]
    """Microseconds by size."""


class Plot(NamedTuple):
    file: str
    title: str
    across: str
    up: str
    curves: list[Curve]
    steep: int
    """The slope of linear growth in this plot: 0 where the cost of one is drawn against their number, 1 against its
    size."""


def draw(plot: Plot, folder: Path) -> Path:
    """Write one plot; the path of its file."""
    import matplotlib as mpl  # slow to import, and needed by nobody else

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "greenroom"  # ids that don't change from one drawing to the next
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for curve, style in zip(plot.curves, ("o-", "s--", "^:"), strict=False):
        points = sorted(curve.points.items())
        axes.loglog([size for size, _ in points], [cost for _, cost in points], style, label=curve.name)
    axes.set(title=plot.title, xlabel=plot.across, ylabel=plot.up)
    first, last = min(plot.curves[0].points), max(plot.curves[0].points)
    end = plot.curves[0].points[last]
    low, high = axes.get_ylim()
    axes.plot([first, last], [end * (first / last) ** plot.steep, end], color="grey", lw=0.8, ls=":", label="linear")
    axes.set_ylim(min(low, high / 100), high)  # two decades at least, so that noise doesn't look like a slope
    axes.grid(True, which="major", alpha=0.3)
    axes.legend()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / plot.file
    figure.savefig(path, metadata={"Date": None, "Creator": "make bench"})
    plt.close(figure)
    return path
