"""Suspicion, planted in a node that runs: as after a crash, when a message has no row and is waited for."""

from __future__ import annotations

from greenroom import ActorSystem
from greenroom.actors.recovery.reset import Reset
from greenroom.persistence.store.attempts import Started

__all__ = ("suspect",)


def suspect(system: ActorSystem, uid: str, address: str) -> None:
    """From now on the message is a suspect. No solo run is under way."""
    system.kernel.part(Reset).suspect((Started(slot=0, verdict="started", uid=uid, address=address),))
    assert system.kernel.caution is not None
    system.kernel.caution.solo = False
