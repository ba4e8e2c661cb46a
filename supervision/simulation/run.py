"""Run: one seed's run, as the workload and the invariant see it; and Outcome, its result."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ...persistence.engines.memory.data import MemoryData
from .loop import NodeDied

if TYPE_CHECKING:
    from random import Random  # noqa: TID251 - the name of a type; the draws come from the seed

    from ...actors.system import ActorSystem
    from .life import Life

__all__ = ("Outcome", "Run")


class Outcome:
    """The result of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.lives = 0
        self.steps = 0
        """How many steps the loop took."""
        self.commits = 0
        self.faults = 0
        """How many faults the store had."""
        self.virtual_s = 0.0
        self.trace = ""
        """A hash of everything that happened: the same seed has the same hash."""


class Run:
    """One seed's run, as the workload and the invariant see it. It outlives the crashes of the node."""

    def __init__(self, seed: int, random: Random) -> None:
        self.seed = seed
        self.random = random
        """For the workload's own draws."""
        self.notes = SimpleNamespace()
        """Notes that outlive a crash: which messages were acknowledged, for example."""
        self.system: ActorSystem
        """The node of this life."""
        self.life = 0
        """The number of this life, from 1."""
        self.calm = False
        """Whether nothing happens in this life any more: it is the last."""
        self.data: MemoryData
        """The database: what is committed."""
        self._life: Life

    def rows(self, kind: type[Any]) -> list[Any]:
        """The committed rows of a kind, in key order."""
        table = self.data.tables[kind]
        return [table[key] for key in sorted(table)]

    def crash(self) -> None:
        """Kill the node here and now, as a handler that takes the process down would.

        Raises:
            NodeDied: always.
        """
        if not self._life.dead:
            self._life.end()
        raise NodeDied

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        await self.system.kernel.runtime.sleep(seconds)
