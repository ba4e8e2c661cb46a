"""The process that survives: a client that tells the node things, whether it lives or not: `python havoc_client.py
DATABASE NAME`. It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
from collections import deque
from typing import Any

from havoc import Keyed, Take, draw_message, say

from greenroom import Client, GreenroomError, StoreError

BATCH = 40
"""Messages of one source."""
PAUSE_S = 0.006
RETELL = 60
"""A message with a key is told again so many messages later: mostly to another life of the node."""

Told = tuple[str, Any, dict[str, Any]]


async def one_batch(url: str, name: str, draw: random.Random, batch: int, again: deque[tuple[int, Told]]) -> None:
    source = f"{name}-{batch}"
    async with Client(url) as client:
        for number in range(1, BATCH + 1):
            while again and again[0][0] <= batch * BATCH + number:
                address, message, options = again.popleft()[1]
                await client.tell(address, message, **options)
            if draw.random() < 0.03:
                say("sent", source, number, "Take")
                work: Any = client.ask(f"/h/books/{source}", Take(source=source, number=number), timeout_s=0.1)
            else:
                address, message, options = draw_message(draw, source, number)
                say("sent", source, number, type(message).__name__)
                work = client.tell(address, message, **options)
                if isinstance(message, Keyed):
                    again.append((batch * BATCH + number + RETELL, (address, message, options)))
            try:
                await work
            except GreenroomError as error:
                say("failed", source, number, type(error).__name__)
                if isinstance(error, StoreError):
                    raise
            else:
                say("acked", source, number)
            await asyncio.sleep(PAUSE_S)


async def main(path: str, name: str) -> None:
    draw = random.Random(name)
    again: deque[tuple[int, Told]] = deque()
    over = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for batch in itertools.count():
        told = asyncio.ensure_future(one_batch(f"sqlite:///{path}", name, draw, batch, again))
        await asyncio.wait((told, over), return_when=asyncio.FIRST_COMPLETED)
        if over.done():
            told.cancel()
            await asyncio.wait((told,))
            return
        if (error := told.exception()) is not None:
            if not isinstance(error, StoreError):
                raise error
            await asyncio.sleep(0.01)  # there is no store yet, or it has an old schema


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
