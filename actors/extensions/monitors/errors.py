"""Errors of monitors and links."""

from __future__ import annotations

from ...messages.errors import ActorError

__all__ = ("TooManyMonitors",)


class TooManyMonitors(ActorError):
    """The actor has as many monitors, or links, as one may have."""

    def __init__(self, address: str, limit: int) -> None:
        self.address = address
        self.limit = limit
        super().__init__(
            f"{address} has {limit} monitors or links already. `demonitor` what it needn't watch any more; "
            "a monitor set in each turn is one more each time"
        )
