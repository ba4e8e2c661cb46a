"""Life: one life of a simulated node: its data, its weather, its loop, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...persistence.engines.memory.data import MemoryAttempts, MemoryData
from .hazards import Weather
from .loop import NodeDied, SimulatedLoop

if TYPE_CHECKING:
    from random import Random  # noqa: TID251 - the name of a type; the draws come from the seed

__all__ = ("Life", "SimulatedAttempts")


class Life:
    """One life of a node: its loop, its weather, and how it ends."""

    def __init__(
        self, number: int, random: Random, data: MemoryData, weather: Weather, told: Callable[..., object], now_s: float
    ) -> None:
        """
        Args:
            told: called with each event, in words.
        """
        self.number = number
        self.random = random
        self.data = data
        """The data that this life works on; `left` are those that it leaves."""
        self.weather = weather
        self.told = told
        self.left: MemoryData | None = None
        self.refusals = 0
        """How many commits are still to be refused."""
        self.faults = 0
        self.loop = SimulatedLoop(random, start_s=now_s, defer_share=weather.defer_share, tick_s=weather.tick_s)
        self.loop.die = self.end
        if weather.end is not None and weather.dies_at == "step":
            self.loop.dies_at = weather.dies_after
        self._counts = {"commit": 0, "landed": 0, "start": 0}

    @property
    def dead(self) -> bool:
        return self.loop.dead

    def reached(self, place: str) -> None:
        """One more of the places at which it may end."""
        if self.dead:
            raise NodeDied
        self._counts[place] += 1
        if self.weather.dies_at == place and self._counts[place] == self.weather.dies_after:
            if self.weather.end == "takeover":
                self.lose()
            elif self.weather.end is not None:
                self.end()
                raise NodeDied

    def lose(self) -> None:
        """Another node takes the store over, and this one doesn't know yet."""
        owner = self.data.owner
        assert owner is not None
        self.data.owner = owner._replace(epoch=owner.epoch + 1)
        self.left = self._image()
        self.told("another node takes the store over")

    def end(self) -> None:
        """Die now."""
        if self.left is None:
            self.left = self._image()
        self.told(f"the node dies: {self.weather.end or 'kill'}")
        self.loop.kill()

    def _image(self) -> MemoryData:
        """The data that the next life finds."""
        image = self.data.copy()
        if self.weather.end == "power":  # the slot file isn't synced, so it is as it was some time before
            attempts = self.data.attempts
            if self.random.random() < 0.5:
                image.attempts = MemoryAttempts(attempts.slots)
            elif isinstance(attempts, SimulatedAttempts):  # else it hasn't been opened
                image.attempts = attempts.stale
            image.attempts.forgive()  # the machine has started anew
        return image


class SimulatedAttempts(MemoryAttempts):
    """The slot file. A node may die right after a start was noted, which is at the handler's first line."""

    def __init__(self, life: Life, found: MemoryAttempts) -> None:
        super().__init__(found.slots)
        self._noted = dict(found._noted)
        self._suspects = dict(found._suspects)
        self._report = found._report
        self._life = life
        self._notes = 0
        self.stale = MemoryAttempts(found.slots)
        """Its content some time before."""

    def note(self, slot: int, uid_hex: str, address: str, running: bool = False) -> None:
        super().note(slot, uid_hex, address, running)
        self._notes += 1
        if self._notes % 5 == 0:
            self.stale = self.copy()
        self._life.reached("start")
