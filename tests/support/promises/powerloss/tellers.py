"""The tells that the victim has a node handle, and its notes on them: sent, acked, refused."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from greenroom import ActorSystem, AskFailed, ChildSpec, Client, StartChild, StoreError
from greenroom.persistence.maintenance.backup import back_up
from greenroom.persistence.runtime import Runtime
from powerloss.workload import CLIENT, DESK, KEYED, MOVER, VAULTS, Clerk, Move, Number, Order, Take

__all__ = ("Notes", "Tellers", "keep_copy")

Say = Callable[..., None]

NUMBERS_PER_LIFE = 10_000
BURST = 4
RESETTING_S = 0.005


class Notes:
    """The notes, into the log of the shim, a line a call."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def say(self, *words: object) -> None:
        os.write(self._descriptor, json.dumps(words).encode())


class Tellers:
    """Of one life of a node, side by side, each with `count` messages."""

    def __init__(self, system: ActorSystem, url: str, life: int, count: int, say: Say) -> None:
        self._system = system
        self._url = url
        self._life = life
        self._numbers = range(life * NUMBERS_PER_LIFE, life * NUMBERS_PER_LIFE + count)
        self._say = say

    async def play(self) -> None:
        self._say("boot", self._system.kernel.boot)
        await asyncio.gather(
            self._one_by_one(0),
            self._in_bursts(1),
            self._asks(2),
            self._moves(MOVER),
            self._one_by_one(KEYED),
            self._from_outside(CLIENT),
            self._adds_a_child(),
        )

    async def _send(self, sent: Number, tell: Callable[[], Awaitable[object]]) -> None:
        self._say("sent", *sent)
        try:
            await tell()
        except (StoreError, AskFailed) as error:
            await self._refused(sent, error)
        else:
            self._say("acked", *sent)

    async def _refused(self, sent: Number, error: StoreError | AskFailed) -> None:
        """A disk that fails refuses some: without a trace, or nobody knows. Then the node is reset."""
        self._say("refused", *sent, getattr(error, "outcome", "unknown"))
        while self._system.kernel.resetting:
            await asyncio.sleep(RESETTING_S)

    async def _one_by_one(self, teller: int) -> None:
        for number in self._numbers:
            order, key = Order(teller=teller, number=number), f"{number}" if teller == KEYED else None
            await self._send((teller, number), lambda: self._system.ref(DESK[teller]).tell(order, key=key))  # noqa: B023

    async def _in_bursts(self, teller: int) -> None:
        """The last receipt is awaited first: there is one commit queue, so the others are as far."""
        ref = self._system.ref(DESK[teller])
        for first in range(self._numbers.start, self._numbers.stop, BURST):
            told: list[tuple[int, Awaitable[None]]] = []
            for number in range(first, min(first + BURST, self._numbers.stop)):
                self._say("sent", teller, number)
                try:
                    told.append((number, ref.tell(Order(teller=teller, number=number))))
                except StoreError as error:
                    await self._refused((teller, number), error)
                    break
            whole = False
            for number, receipt in reversed(told):
                try:
                    if not whole:
                        await receipt
                        whole = True
                except StoreError as error:
                    await self._refused((teller, number), error)
                else:
                    self._say("acked", teller, number)

    async def _asks(self, teller: int) -> None:
        for number in self._numbers:
            take = Take(teller=teller, number=number)
            await self._send((teller, number), lambda: self._system.ref(DESK[teller]).ask(take))  # noqa: B023

    async def _moves(self, teller: int) -> None:
        for number in self._numbers:
            to = VAULTS[(number + 1 + number % 2) % 3]
            move = Move(teller=teller, number=number, to=to, amount=1 + number % 5)
            ref = self._system.ref(f"/p/{VAULTS[number % 3]}")
            await self._send((teller, number), lambda: ref.tell(move))  # noqa: B023

    async def _from_outside(self, teller: int) -> None:
        async with Client(self._url) as client:
            for number in self._numbers[: max(1, len(self._numbers) // 3)]:
                order = Order(teller=teller, number=number)
                await self._send((teller, number), lambda: client.tell(DESK[teller], order))  # noqa: B023

    async def _adds_a_child(self) -> None:
        name = f"extra{self._life}"
        self._say("child sent", name)
        with suppress(StoreError, AskFailed):
            await self._system.ref("/p").ask(StartChild(spec=ChildSpec(id=name, actor=Clerk)))
            self._say("child acked", name)


async def keep_copy(path: Path, life: int, say: Say) -> None:
    """A backup beside the running node; what was acknowledged before is in it."""
    name = f"copy{life}.db"
    say("copy begun", name)
    await asyncio.to_thread(back_up, str(path), str(path.with_name(name)), Runtime())
    say("copy acked", name)
