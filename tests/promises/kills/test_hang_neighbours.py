"""A message that hangs the node is parked at a boot; what stands behind it is handled in that same life."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from grounds import Ground, pool, tree

from greenroom import Actor, ChildSpec, Message, handler
from greenroom.persistence.store.rows import ActorRow, DeadLetterRow, MessageRow


class Stick(Message):
    pass


class Note(Message):
    text: str


class Notes(msgspec.Struct):
    texts: list[str] = []


class Taker(Actor[Notes]):
    max_attempts = 1

    @handler
    async def stick(self, message: Stick) -> None:
        await asyncio.Event().wait()

    @handler
    def note(self, message: Note) -> None:
        self.state.texts.append(message.text)


@pytest.mark.parametrize("dynamic", [True, False], ids=["under a template", "static"])
async def test_the_neighbours_of_a_hang_are_handled(ground: Ground, dynamic: bool) -> None:
    one = ChildSpec(id="pool", actor=Taker, shutdown="brutal_kill")
    spec = tree(pool(one)) if dynamic else tree(one)
    address = "/t/pool/a" if dynamic else "/t/pool"
    async with ground.node(spec) as system:
        for message in (Stick(), Note(text="one"), Note(text="two")):
            await system.ref(address).tell(message)
        cell = system.kernel.cells[address]
        while cell.turn is None:
            await asyncio.sleep(0)
        system.kernel.attempts.hang(cell.runner, "where it stood")
        died = ground.image()
    async with died.node(spec) as system:
        await system.idle()
        assert not died.rows(MessageRow)
    assert [letter.cause for letter in died.rows(DeadLetterRow)] == ["hang"]
    (row,) = [row for row in died.rows(ActorRow) if row.address == address]
    assert msgspec.json.decode(row.state)["texts"] == ["one", "two"]
