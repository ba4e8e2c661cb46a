"""Rows of the tables: what was measured, beside what, and whether its goal is met."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ("REFERENCE_ASKS", "Goals", "Medians", "Row", "number")

REFERENCE_ASKS = 169_000
"""Asks/s of the bare deque with a future, on the machine that the absolute goals were set on."""

Medians = Mapping[str, float]
"""Every figure of the run by its name, the median of the rounds."""


class Row(NamedTuple):
    what: str
    unit: str
    beside: str
    """The name of the floor, or of the peer."""
    floor: float | None
    ours: float
    goal: str = ""
    met: bool | None = None
    """None: there is no goal, the figure is information."""
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours by the floor's."""
        return self.ours / self.floor if self.floor and self.unit != "exponent" else None

    @property
    def verdict(self) -> str:
        return "" if self.met is None else "met" if self.met else "missed"


class Goals:
    """Makes rows. Absolute goals are scaled by what the bare deque with a future answers in this very run."""

    def __init__(self, bare_asks: float | None) -> None:
        self.speed = 1.0 if bare_asks is None else min(1.0, bare_asks / REFERENCE_ASKS)

    def information(self, what: str, unit: str, beside: str, floor: float | None, ours: float, note: str = "") -> Row:
        return Row(what, unit, beside, floor, ours, note=note)

    def at_least(
        self, ratio: float, what: str, unit: str, beside: str, floor: float, ours: float, note: str = ""
    ) -> Row:
        """Ours by the floor's isn't less than `ratio`."""
        return Row(what, unit, beside, floor, ours, f"ratio ≥ {ratio:g}", ours / floor >= ratio, note)

    def at_most(
        self, ratio: float, what: str, unit: str, beside: str, floor: float, ours: float, note: str = ""
    ) -> Row:
        return Row(what, unit, beside, floor, ours, f"ratio ≤ {ratio:g}", ours / floor <= ratio, note)

    def rate(self, goal: float, what: str, beside: str, floor: float, ours: float, unit: str = "msg/s") -> Row:
        """So many messages/s, on the machine of the goals."""
        scaled = goal * self.speed
        return Row(what, unit, beside, floor, ours, f"≥ {goal:,.0f} × {self.speed:.2f} = {scaled:,.0f}", ours >= scaled)

    def limit(self, goal: float, what: str, unit: str, ours: float) -> Row:
        """No more than that, on any machine."""
        return Row(what, unit, "", None, ours, f"≤ {goal:,.0f}", ours <= goal)

    def within(self, goal: float, what: str, unit: str, beside: str, floor: float | None, ours: float) -> Row:
        """No longer than that, on the machine of the goals."""
        scaled = goal / self.speed
        return Row(what, unit, beside, floor, ours, f"≤ {goal:g} / {self.speed:.2f} = {scaled:.3g}", ours <= scaled)

    def exponent(self, goal: float, what: str, beside: str, floor: float | None, fit: float, top: float) -> Row:
        """The power by which a cost grows, over all points and over the last decade."""
        note = f"{top:.2f} over the last decade"
        return Row(what, "exponent", beside, floor, fit, f"≤ {goal:g}, both", max(fit, top) <= goal, note)


def number(value: float | None) -> str:
    """Three figures at least, and no more decimals than these take."""
    if value is None:
        return ""
    magnitude = abs(value)
    return f"{value:,.0f}" if magnitude >= 100 else f"{value:.1f}" if magnitude >= 10 else f"{value:.2f}"
