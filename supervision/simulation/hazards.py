"""Hazards: what may happen to a simulated node, and what of it happens to one seed's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from random import Random  # noqa: TID251 - the name of a type; the draws come from the seed

__all__ = ("End", "Hazards", "Weather")

End = Literal["kill", "power", "takeover", "stop"]
"""How a life ends: `kill -9`; a power cut, which takes the slot file along; another node takes the store over, and this
one doesn't know; in order."""

STEPS_MEAN = 250
COMMITS_MEAN = 12
STARTS_MEAN = 15


class Hazards(msgspec.Struct, frozen=True, kw_only=True):
    """The most that may happen to a node. Each seed draws what of it happens, and how often: often nothing."""

    crashes: int = 3
    """Lives that end in a crash; the last life doesn't."""
    ends: tuple[End, ...] = ("kill", "power", "takeover", "stop")
    """How they may end."""
    errors: float = 0.1
    """Of the store's commits and reads: how many fail, as on a full disk or a lost connection."""
    unknown: bool = True
    """Whether a commit may fail with an unknown outcome, landed or not."""
    refusals: int = 0
    """Commits of a seed whose data the database refuses. Each costs whoever is to blame an attempt, or a teller an
    error."""
    delay_s: float = 0.05
    """How long the store may take for one operation."""
    down_s: float = 30.0
    """How long the node may be away between two lives."""

    def __post_init__(self) -> None:
        if self.crashes < 0 or self.refusals < 0:
            raise ValueError(f"{self}: write whole numbers of at least 0")
        if not 0 <= self.errors < 1:
            raise ValueError(f"Hazards(errors={self.errors!r}): write a share, at least 0 and less than 1")
        if self.delay_s < 0 or self.down_s < 0:
            raise ValueError(f"{self}: write seconds of at least 0")


CALM = Hazards(crashes=0, errors=0.0, unknown=False, delay_s=0.0, down_s=0.0)


class Weather:
    """What happens in one life."""

    def __init__(self, random: Random, hazards: Hazards, *, crashes: bool) -> None:
        share = hazards.errors
        self.commit_errors = random.choice((0.0, 0.0, share * random.random()))
        self.read_errors = random.choice((0.0, 0.0, 0.0, share * random.random()))
        self.unknown = hazards.unknown
        self.delay_s = random.choice((0.0, hazards.delay_s / 10, hazards.delay_s))
        self.on_loop = random.choice((0.0, 0.5, 1.0, 1.0))
        """How many commits are made on the loop."""
        self.defer_share = random.choice((0.0, 0.0, 0.05, 0.3))
        self.tick_s = random.choice((1e-6, 1e-5, 1e-4))
        self.down_s = hazards.down_s * random.random() ** 4
        self.end: End | None = random.choice(hazards.ends) if crashes and hazards.ends else None
        self.dies_at: Literal["step", "commit", "landed", "start"] = "step"
        """At the loop's n-th step; at the n-th commit, before it lands or when it has landed; when the n-th message's
        handling is noted."""
        self.dies_after = 0
        """n."""
        if self.end is not None:
            self._draw_end(random)

    def _draw_end(self, random: Random) -> None:
        if self.end == "takeover":
            self.dies_at = random.choice(("commit", "landed"))
        else:
            self.dies_at = random.choice(("step", "step", "commit", "landed", "start"))
        mean = {"step": STEPS_MEAN, "start": STARTS_MEAN}.get(self.dies_at, COMMITS_MEAN)
        self.dies_after = 1 + int(random.expovariate(1 / mean))
