"""While suspects exist, what is told arrives with its commit: in order, and at whoever is there by then."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grounds import Ground, pool, tree
from patience import patience
from suspicion import suspect

from greenroom import Actor, Message, Request, handler
from greenroom.actors.mailbox.envelope import Envelope


class Put(Message):
    number: int


class Pass(Message):
    number: int


class Numbers(Request[list[int]]):
    pass


class Clerk(Actor[list[int]]):
    name = "cautious-clerk"

    def initial_state(self) -> list[int]:
        return []

    @handler
    def put(self, message: Put) -> None:
        self.state.append(message.number)

    @handler
    def pass_on(self, message: Pass) -> None:
        self.state.append(message.number)
        self.system.ref("/t/other").tell(Put(number=message.number))

    @handler
    def numbers(self, request: Numbers) -> list[int]:
        return self.state


TREE = tree(("clerk", Clerk), ("other", Clerk), pool(Clerk, max_children=1))
SUSPECT = "5a" * 16


async def numbers(system: Any, address: str) -> Any:
    return await system.ref(address).ask(Numbers())


@pytest.mark.parametrize("how", ["acquitted", "forgotten"])
async def test_what_is_told_after_it_doesnt_pass_what_waits_for_its_commit(ground: Ground, how: str) -> None:
    async with ground.node(TREE) as system:
        suspect(system, SUSPECT, "/t/clerk")
        ground.plan.hold()
        system.ref("/t/other").tell(Put(number=1))
        system.ref("/t/other").tell(Put(number=2))
        await ground.plan.arrived()
        if how == "acquitted":
            assert system.kernel.caution.acquit(SUSPECT)
        else:
            system.kernel.caution.forget_suspects()
        system.ref("/t/other").tell(Put(number=3))
        ground.plan.release()
        await system.idle()
        assert await numbers(system, "/t/other") == [1, 2, 3]


async def test_nor_what_a_turn_tells(ground: Ground) -> None:
    async with ground.node(TREE) as system:
        suspect(system, SUSPECT, "/t/clerk")
        await system.ref("/t/clerk").tell(Pass(number=1))
        ground.plan.hold()
        await ground.plan.arrived()  # the turn of the first waits for its commit
        system.kernel.caution.forget_suspects()
        system.ref("/t/clerk").tell(Pass(number=2))
        ground.plan.release()
        await system.idle()
        assert await numbers(system, "/t/other") == [1, 2]


async def test_a_receiver_that_leaves_memory_meanwhile(ground: Ground) -> None:
    """The actor that has its address then gets the message, in this life."""
    async with ground.node(TREE) as system:
        suspect(system, SUSPECT, "/t/clerk")
        ground.plan.hold()
        system.ref("/t/pool/x").tell(Put(number=1))
        system.ref("/t/pool/y").tell(Put(number=2))  # there is room for one of them
        assert "/t/pool/x" not in system.kernel.cells
        ground.plan.release()
        await system.idle()
        assert await numbers(system, "/t/pool/x") == [1]
        assert await numbers(system, "/t/pool/y") == [2]


async def test_a_charged_message_is_taken_before_a_runner_has_come_to_it(ground: Ground) -> None:
    """Its actor is ready, and has nothing to do any more. The node doesn't end for it."""
    async with ground.node(TREE) as system, patience():
        cell = system.kernel.cells["/t/clerk"]
        system.ref("/t/clerk").tell(Put(number=1))
        assert cell.queued
        (entry,) = cell.mailbox.entries()
        assert isinstance(entry, Envelope)
        assert cell.mailbox.take(entry.uid, entry.id) is entry
        while cell.queued:
            await asyncio.sleep(0)
        cell.push(entry)  # as its retry does
        await system.idle()
        assert await numbers(system, "/t/clerk") == [1]
