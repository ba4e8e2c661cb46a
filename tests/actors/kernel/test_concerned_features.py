"""`Extension.concerned`: exits at other addresses are told to no feature, whichever way they come."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest
from grounds import Ground, tree
from patience import patience

from greenroom import Actor, ChildSpec, ExitReason, Message, TerminateChild, handler
from greenroom.actors.kernel.cell import Cell
from greenroom.actors.kernel.hooks import Extension, Owed
from greenroom.actors.messages.signals import Exit

CONCERNED, OTHER = "/t/concerned", "/t/other"


class End(Message):
    how: Literal["error", "stop", "shutdown", "timeout"]


class Mortal(Actor[None]):
    max_attempts = 1
    handler_timeout_s = 0.01

    @handler
    async def end(self, message: End) -> None:
        if message.how == "error":
            raise RuntimeError("boom")
        if message.how == "timeout":
            await asyncio.Event().wait()
        self.stop(ExitReason.shutdown() if message.how == "shutdown" else None)


class Listener(Extension):
    def __init__(self) -> None:
        self.concerned = ({CONCERNED},)
        self.told: list[str] = []

    def exiting(self, end: Exit, after: int, *, ahead: bool = False) -> Owed | None:
        self.told.append(f"{end.address} exits")
        return None

    def ended(self, cell: Cell, end: Exit | None) -> None:
        self.told.append(f"{cell.address} ended")


@pytest.mark.parametrize("how", ["error", "stop", "shutdown", "timeout", "terminated"])
async def test_exits_at_other_addresses_are_told_to_none(ground: Ground, how: str) -> None:
    spec = tree(*(ChildSpec(id=name, actor=Mortal) for name in ("concerned", "other")), intensity=100)
    async with patience(), ground.node(spec) as system:
        listener = Listener()
        system.kernel.add_parts(listener)
        for address in (OTHER, CONCERNED):
            if how == "terminated":
                await system.ref("/t").ask(TerminateChild(id=address.rpartition("/")[2]))
            else:
                await system.ref(address).tell(End(how=how))  # type: ignore[arg-type]
            await system.idle()
        expected = ["ended"] if how == "terminated" else ["exits", "ended"]
        assert listener.told == [f"{CONCERNED} {what}" for what in expected]
