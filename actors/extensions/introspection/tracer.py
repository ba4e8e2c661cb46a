"""Tracer: the turns of an address, and statistics of them (OTP: sys(3), trace and statistics).

    async with system.trace("/bank/ledger") as turns:
        async for turn in turns:
            print(turn.type, turn.outcome, turn.duration_ms)

It costs nothing while it is off, because an incarnation gets a `Watch` only when a trace or statistics begin.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from ....persistence.events import Event
from ...delivery.ref import ActorRef, ref_to
from ...kernel.cell import Cell
from ...kernel.hooks import Extension
from ...kernel.incarnation import Incarnation
from ...kernel.kernel import Kernel
from .observer import Counters, Watch
from .requests import ActorStatistics
from .trace import Trace, TracedTurn

__all__ = ("Tracer",)

WAITING_MAX = 1_000
"""The number of turns that a slow reader may lie behind before it loses the oldest."""


class Tracer(Extension):
    """Traces and statistics of one node."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._traces: dict[str, list[Trace]] = {}
        self._leave: Callable[[], None] | None = None

    # -- traces --------------------------------------------------------------------------------------

    @asynccontextmanager
    async def trace(self, where: str | ActorRef, *, waiting_max: int = WAITING_MAX) -> AsyncIterator[Trace]:
        """Follow the turns of an actor, those of its next incarnations included, for the length of the block.

        Nothing has to be at the address yet. Turns that began before aren't seen. Each turn is an event `actor.turn`,
        too (persistence/events.py).

        Args:
            waiting_max: turns that the reader may lie behind; then the oldest are lost, and counted in `dropped`.

        Raises:
            ActorNotFound: that is no address.
            ValueError: `waiting_max` isn't positive.
        """
        trace = self.begin(where.address if isinstance(where, ActorRef) else where, waiting_max)
        try:
            yield trace
        finally:
            self.end(trace)

    def begin(self, address: str, waiting_max: int = WAITING_MAX) -> Trace:
        if waiting_max < 1:
            raise ValueError(f"waiting_max={waiting_max!r}: a trace keeps at least one turn")
        kernel = self._kernel
        trace = Trace(ref_to(kernel, address).address, waiting_max)
        if self._leave is None:
            self._leave = kernel.events.subscribe(self._on_event)
        self._traces.setdefault(address, []).append(trace)
        cell = kernel.cells.get(address)
        if cell is not None and cell.incarnation is not None and cell.incarnation.actor is not None:
            Watch.over(cell.incarnation, self)
        return trace

    def end(self, trace: Trace) -> None:
        """End a trace. Does nothing the second time."""
        trace.close()
        traces = self._traces.get(trace.address, [])
        if trace not in traces:
            return
        traces.remove(trace)
        if traces:
            return
        del self._traces[trace.address]
        cell = self._kernel.cells.get(trace.address)
        if cell is not None and cell.incarnation is not None:
            self._look_away(cell.incarnation)
        if not self._traces and self._leave is not None:
            self._leave()
            self._leave = None

    def built(self, cell: Cell) -> None:
        """Let the traces of the address go on with the new incarnation."""
        if cell.address in self._traces and cell.incarnation is not None:
            Watch.over(cell.incarnation, self)

    def follows(self, address: str) -> bool:
        return address in self._traces

    def publish(self, turn: TracedTurn) -> None:
        traces = self._traces.get(turn.address)
        if traces is None:
            return  # left meanwhile
        for trace in traces:
            trace.put(turn)
        measures = msgspec.structs.asdict(turn)
        self._kernel.events.emit("actor.turn", measures.pop("address"), **measures)

    def _on_event(self, event: Event) -> None:
        if event.name in ("node.stopped", "node.gave_up"):
            for traces in list(self._traces.values()):
                for trace in list(traces):
                    self.end(trace)

    def _look_away(self, incarnation: Incarnation) -> None:
        watch = Watch.of(incarnation)
        if watch is not None and watch.counters is None and not self.follows(incarnation.address):
            watch.leave()

    # -- statistics ------------------------------------------------------------------------------------

    def count(self, incarnation: Incarnation, *, on: bool) -> None:
        """Collect statistics of an incarnation, from zero; or stop collecting."""
        if on:
            Watch.over(incarnation, self).counters = Counters(incarnation)
            return
        watch = Watch.of(incarnation)
        if watch is not None:
            watch.counters = None
            self._look_away(incarnation)

    def statistics_of(self, incarnation: Incarnation) -> ActorStatistics | None:
        watch = Watch.of(incarnation)
        return None if watch is None or watch.counters is None else watch.counters.read(self._kernel.runtime.now())
