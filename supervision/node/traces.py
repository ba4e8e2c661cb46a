"""Traces: turns that another process follows. It polls; a trace that isn't polled for ends by itself."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from ...actors.extensions.introspection.trace import Trace, TracedTurn
from ...actors.extensions.introspection.tracer import Tracer
from ...persistence.errors import GreenroomError

if TYPE_CHECKING:
    from ...actors.kernel.kernel import Kernel

__all__ = ("LEASE_S", "TooManyTraces", "Traces")

LEASE_S = 10.0
"""Seconds after the last poll until a trace ends."""
FOLLOWED_MAX = 16
"""How many traces are followed at the same time."""
KEPT_MAX = 5_000
"""How many turns are kept between two polls before the oldest are dropped."""
PAGE = 500
"""How many turns one reply has."""


class TooManyTraces(GreenroomError):
    """Other processes follow as many traces as are allowed. A trace that isn't polled for ends after ten seconds."""

    def __init__(self) -> None:
        super().__init__(
            f"{FOLLOWED_MAX} traces are being followed, and more can't be. Leave one of them, and try again "
            f"{LEASE_S:g} s later"
        )


class Traces:
    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._followed: dict[str, _Followed] = {}

    async def poll(self, address: str, arguments: dict[str, Any] | None) -> dict[str, Any]:
        """Begin a trace, or fetch what it has collected.

        Args:
            arguments: None begins one. Later `{"trace", "after"}`: its id, and the number of the last turn that has
                arrived; what stands before it is forgotten, the rest is sent (again). With `"stop": true` it ends.

        Returns:
            `trace`, its id, None if there is none of this id (any more); `turns`, the next ones; `last`, the number
            of the last of these; `more`, whether others wait; `dropped`, how many were lost so far.

        Raises:
            ActorNotFound: nothing has the address, and no template makes an actor there.
            TooManyTraces
        """
        if not arguments:
            return self._begin(address)
        followed = self._followed.get(arguments["trace"])
        if followed is None:
            return {"trace": None, "turns": [], "last": 0, "more": False, "dropped": 0}
        if arguments.get("stop"):
            self._end(followed)
        else:
            self._prolong(followed)
        return followed.page(arguments["after"])

    def _begin(self, address: str) -> dict[str, Any]:
        kernel = self._kernel
        if len(self._followed) >= FOLLOWED_MAX:
            raise TooManyTraces
        kernel.router.resolve(address)
        followed = _Followed(kernel.runtime.uid()[:12], kernel.part(Tracer).begin(address, KEPT_MAX))
        self._followed[followed.id] = followed
        self._prolong(followed)
        return followed.page(0)

    def _prolong(self, followed: _Followed) -> None:
        if followed.timer is not None:
            followed.timer.cancel()
        followed.timer = self._kernel.runtime.call_later(LEASE_S, self._end, followed)

    def _end(self, followed: _Followed) -> None:
        if followed.timer is not None:
            followed.timer.cancel()
        self._followed.pop(followed.id, None)
        self._kernel.part(Tracer).end(followed.trace)


class _Followed:
    def __init__(self, trace_id: str, trace: Trace) -> None:
        self.id = trace_id
        self.trace = trace
        self.timer: asyncio.TimerHandle | None = None
        self._sent: deque[tuple[int, TracedTurn]] = deque()
        """A trace that another process follows, as far as the node knows."""
        self._count = 0

    def page(self, after: int) -> dict[str, Any]:
        while self._sent and self._sent[0][0] <= after:
            self._sent.popleft()
        if not self._sent:
            for turn in self.trace.take(PAGE):
                self._count += 1
                self._sent.append((self._count, turn))
        return {
            "trace": self.id,
            "turns": [turn for _, turn in self._sent],
            "last": self._count if self._sent else after,
            "more": self.trace.waiting > 0,
            "dropped": self.trace.dropped,
        }
