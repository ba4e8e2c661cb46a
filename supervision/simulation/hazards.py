"""Hazards: everything that may happen to a simulated node; and Weather, the part of it that happens in one life."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from random import Random  # noqa: TID251 - the name of a type; the draws come from the seed

__all__ = ("End", "Hazards", "Weather")

End = Literal["kill", "power", "takeover", "stop"]
"""How a life ends: by `kill -9`; by a power cut, which the slot file doesn't survive; by another node that takes the
store over, which this one doesn't know; or in order."""

STEPS_MEAN = 250
COMMITS_MEAN = 12
STARTS_MEAN = 15


class Hazards(msgspec.Struct, frozen=True, kw_only=True):
    """The most that may happen to a node. Each seed draws what of it happens, and how often: often nothing."""

    crashes: int = 3
    """How many lives end in a crash. The last life doesn't."""
    ends: tuple[End, ...] = ("kill", "power", "takeover", "stop")
    """How they may end."""
    errors: float = 0.1
    """The share of the store's commits and reads that fail, as on a full disk or with a lost connection."""
    unknown: bool = True
    """Whether a commit may fail with an unknown outcome, landed or not."""
    refusals: int = 0
    """How many commits of a seed the database refuses for their data. Each is charged as an attempt to the guilty
    message, or is an error at the teller."""
    delay_s: float = 0.05
    """How many seconds the store may take for one operation."""
    down_s: float = 30.0
    """How many seconds the node may be away between two lives."""

    def __post_init__(self) -> None:
        if self.crashes < 0 or self.refusals < 0:
            raise ValueError(f"{self}: write whole numbers of at least 0")
        if not 0 <= self.errors < 1:
            raise ValueError(f"Hazards(errors={self.errors!r}): write a share, at least 0 and less than 1")
        if self.delay_s < 0 or self.down_s < 0:
            raise ValueError(f"{self}: write seconds of at least 0")


CALM = Hazards(crashes=0, errors=0.0, unknown=False, delay_s=0.0, down_s=0.0)


class Weather:
    """Everything that happens in one life."""

    def __init__(self, random: Random, hazards: Hazards, *, crashes: bool) -> None:
        share = hazards.errors
        self.commit_errors = random.choice((0.0, 0.0, share * random.random()))
        self.read_errors = random.choice((0.0, 0.0, 0.0, share * random.random()))
        self.unknown = hazards.unknown
        self.delay_s = random.choice((0.0, hazards.delay_s / 10, hazards.delay_s))
        self.on_loop = random.choice((0.0, 0.5, 1.0, 1.0))
        """The share of commits that are made on the loop."""
        self.defer_share = random.choice((0.0, 0.0, 0.05, 0.3))
        self.tick_s = random.choice((1e-6, 1e-5, 1e-4))
        self.down_s = hazards.down_s * random.random() ** 4
        self.end: End | None = random.choice(hazards.ends) if crashes and hazards.ends else None
        self.dies_at: Literal["step", "commit", "landed", "start"] = "step"
        """Where the life ends: at the loop's n-th step; at the n-th commit, before it lands or when it has landed; when
        the start of the n-th message is noted."""
        self.dies_after = 0
        """The n of `dies_at`."""
        if self.end is not None:
            self._draw_end(random)

    def _draw_end(self, random: Random) -> None:
        if self.end == "takeover":
            self.dies_at = random.choice(("commit", "landed"))
        else:
            self.dies_at = random.choice(("step", "step", "commit", "landed", "start"))
        mean = {"step": STEPS_MEAN, "start": STARTS_MEAN}.get(self.dies_at, COMMITS_MEAN)
        self.dies_after = 1 + int(random.expovariate(1 / mean))
