"""Others are told the same of a retire by administration, whether a node runs or not, and the actor is up or not."""

from __future__ import annotations

from typing import Any

import pytest
from grounds import SqliteGround, pool, tree
from watch_actors import Mortal, T, Trapper, W, bind, mortal, relations, seen

from greenroom import ActorSystem
from greenroom.persistence.store.rows import ActorRow
from greenroom.supervision.offline import edit as offline

P, Q = "/t/partner", "/t/pool/a"
TREE = tree(mortal("target"), mortal("watcher"), mortal("partner", Trapper), pool(Mortal), intensity=100)

TOLD = "shutdown administration"


async def retire(system: ActorSystem, address: str) -> None:
    await system.inbox._administer("actors.retire", address, b"null")  # type: ignore[union-attr]


def passivate(system: ActorSystem, address: str) -> None:
    activation: Any = system.kernel.activator.activation  # type: ignore[attr-defined]
    activation._passivate(system.kernel.cells[address])
    assert address not in system.kernel.cells


@pytest.mark.parametrize("linked_by", ["partner", "target"])
@pytest.mark.parametrize(
    ("target", "how"), [(T, "running"), (T, "stopped"), (Q, "running"), (Q, "passive"), (Q, "stopped")]
)
async def test_others_are_told_the_same(disk: SqliteGround, target: str, how: str, linked_by: str) -> None:
    async with disk.node(TREE) as system:
        await bind(system, target, W)  # it has a state, and a monitor of its own
        await bind(system, W, target)
        await bind(system, *((P, target) if linked_by == "partner" else (target, P)), how="link")
        if how == "passive":
            passivate(system, target)
        if how != "stopped":
            await retire(system, target)
            assert await seen(system, W) == await seen(system, P) == [(target, TOLD)]
    if how == "stopped":
        assert (await offline.retire(disk.store(), target))["retired"]
        assert target not in [row.address for row in disk.rows(ActorRow)]
    for _ in range(2):  # and they are told once
        async with disk.node(TREE) as system:
            assert await seen(system, W) == await seen(system, P) == [(target, TOLD)]
        assert relations(disk) == []


async def test_one_that_was_to_be_told_is_retired_as_well(disk: SqliteGround) -> None:
    async with disk.node(TREE) as system:
        await bind(system, T, W)
        await bind(system, W, T)
        await bind(system, P, T, how="link")
    for address in (T, W, P):
        await offline.retire(disk.store(), address)
    assert relations(disk) == []
    async with disk.node(TREE) as system:
        assert await seen(system, W) == await seen(system, P) == []


async def test_an_actor_that_traps_nothing_starts_as_it_would_anyway(disk: SqliteGround) -> None:
    """The retire ends a link, too, and nothing of its other end runs that could exit with it."""
    async with disk.node(TREE) as system:
        await bind(system, T, P)
        await bind(system, W, T, how="link")
    await offline.retire(disk.store(), T)
    async with disk.node(TREE) as system:
        first = system.kernel.cells[W].incarnation
        assert await seen(system, W) == []
        assert system.kernel.cells[W].incarnation is first
    assert relations(disk) == []
