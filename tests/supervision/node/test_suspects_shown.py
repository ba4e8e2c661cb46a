"""The tree of a node says how far the node has come with the suspects of its last death."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grounds import MemoryGround, pool, tree
from patience import patience
from suspicion import limited

from greenroom import Actor, Message, handler
from greenroom.supervision.cli.view.forest import Branch, live_branches, print_tree


class Wait(Message):
    pass


class Waiter(Actor[None]):
    gate: asyncio.Event
    inside = 0

    @handler
    async def wait(self, message: Wait) -> None:
        Waiter.inside += 1
        await Waiter.gate.wait()


SPEC = tree(pool(Waiter))


async def inside(count: int) -> None:
    async with patience():
        while Waiter.inside < count:
            await asyncio.sleep(0)


async def live(system: Any) -> list[dict[str, Any]]:
    assert system.inbox is not None
    found: list[dict[str, Any]] = await system.inbox._administer("actors.live", "/", b"{}")
    return found


def shown(found: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> str:
    root = Branch("", "")
    live_branches(root, found)
    print_tree(root)
    return capsys.readouterr().out.splitlines()[0]


@pytest.mark.parametrize(
    ("limit", "running", "alone", "text"),
    [
        (0, 3, 0, "3 of 3 suspects are run again"),
        (1, 1, 3, "3 of 3 suspects are run again alone, 3 are left"),
    ],
)
async def test_suspects_are_shown_at_the_root(
    memory: MemoryGround, capsys: pytest.CaptureFixture[str], limit: int, running: int, alone: int, text: str
) -> None:
    Waiter.gate, Waiter.inside = asyncio.Event(), 0
    async with memory.node(SPEC) as system:
        for name in "abc":
            await system.ref(f"/t/pool/{name}").tell(Wait())
        await inside(3)
        assert "suspects" not in (await live(system))[0]
        image = memory.image()
        Waiter.gate.set()
    assert isinstance(image, MemoryGround)
    Waiter.gate, Waiter.inside = asyncio.Event(), 0
    async with limited(image, limit).node(SPEC) as system:
        await inside(running)
        found = await live(system)
        assert found[0]["suspects"] == {"left": 3, "of": 3, "running": running, "alone": alone}
        assert all("suspects" not in facts for facts in found[1:])
        assert text in shown(found, capsys)
        Waiter.gate.set()
        await system.idle()
        found = await live(system)
        assert "suspects" not in found[0]
        assert "suspects" not in shown(found, capsys)
