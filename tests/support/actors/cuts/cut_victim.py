"""Cancel something at its n-th suspension, then end the program: `python cut_victim.py WHAT WAY AT DATABASE`.

It says which threads would keep the interpreter from exiting; whether it does exit is for its parent to see.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path

from cut_bench import OPERATIONS, Bench, Clerk, Do, Numbers, Put, Worker, the_tree
from grounds import SqliteGround
from suspensions import cut

from greenroom import Client


async def main(what: str, way: str, at: int, ground: SqliteGround) -> None:
    Clerk.gate = asyncio.Event()
    Clerk.gate.set()
    Worker.struck = set()
    if what == "life":
        await cut(way, at, _live(ground), deep=True)
        return
    async with ground.node(the_tree()) as system:
        if what == "sql":
            await system.ref("/t/worker").tell(Do(number=at, what="sql", at=at, how=way))
            await system.idle()
        elif what == "client":
            await cut(way, at, _speak(ground))
        else:
            await cut(way, at, OPERATIONS[what][1](Bench(ground, system), at))
            Clerk.gate.set()


async def _live(ground: SqliteGround) -> None:
    async with ground.node(the_tree()) as system:
        await Bench(ground, system).tell(1)


async def _speak(ground: SqliteGround) -> None:
    async with Client(ground.url) as client:
        await client.tell("/t/clerk", Put(number=1))
        await client.ask("/t/clerk", Numbers())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), SqliteGround(Path(sys.argv[4]))))
    left = [
        thread.name for thread in threading.enumerate() if not thread.daemon and thread is not threading.main_thread()
    ]
    print("left", left, flush=True)
