"""Suspicion, planted in a node that runs: as after a crash, when a message has no row and is waited for."""

from __future__ import annotations

import asyncio

from grounds import MemoryGround
from patience import patience

from greenroom import ActorSystem
from greenroom.actors.recovery.reset import Reset
from greenroom.actors.recovery.suspects import judge
from greenroom.persistence.store.attempts import Started

__all__ = ("limited", "recovered", "suspect")


def suspect(system: ActorSystem, uid: str, address: str) -> None:
    """From now on the message is a suspect, and suspects may run."""
    reset = system.kernel.part(Reset)
    reset.suspect((Started(slot=0, verdict="started", uid=uid, address=address),))
    assert reset.caution is not None
    reset.caution.trial.begin()


async def recovered(system: ActorSystem) -> None:
    """Return when no suspects are left."""
    async with patience():
        while system.kernel.caution is not None:
            await asyncio.sleep(0)


def limited(ground: MemoryGround, *limits: int) -> MemoryGround:
    """Suspects that deaths of earlier lives have narrowed down.

    Args:
        limits: of each, in the order in which they were noted; the last one is for all the rest.
    """
    attempts = ground.data.attempts
    suspects = sorted(judge(attempts.open()), key=lambda one: one.slot)
    attempts.write_suspects(
        [one._replace(limit=limits[min(place, len(limits) - 1)], deaths=2) for place, one in enumerate(suspects)]
    )
    return ground
