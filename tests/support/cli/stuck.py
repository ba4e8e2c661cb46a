"""Actors that wait for what never comes."""

from __future__ import annotations

import asyncio

from greenroom import Actor, Message, handler


class Enter(Message):
    pass


class Stuck(Actor[None]):
    handler_timeout_s = 600.0

    @handler
    async def enter(self, message: Enter) -> None:
        await self.go_in()

    async def go_in(self) -> None:
        await wait_for_ever()


class Slow(Actor[None]):
    """Waits for the next of what comes no more."""

    @handler
    async def enter(self, message: Enter) -> None:
        async for _ in knocks():
            pass


async def wait_for_ever() -> None:
    await asyncio.Event().wait()


async def knocks():  # type: ignore[no-untyped-def]
    yield 1
    await wait_for_ever()
