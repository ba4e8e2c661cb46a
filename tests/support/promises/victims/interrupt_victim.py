"""`python interrupt_victim.py FOLDER SEED LIVES`: lives of a node, each ended by Ctrl-C at chosen function calls.

Each life is a forked child with a profiler that sends the signals: the first cancels the main task (asyncio.Runner),
the second and the third are raised wherever the node's code stands, be it in a turn, or in the middle of a commit. In
asyncio itself, where one may cost it the call that would wake somebody, nobody could go on: not there.

Says a line of JSON for each life that did not end well, and one for what is left after all of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

import alembic.command  # noqa: F401  (imported when they are needed: here they are there already)
import msgspec
import sqlalchemy.ext.asyncio  # noqa: F401
from grounds import tree
from loguru import logger
from pulse import Pulse
from stacks import ask_for_stacks

import greenroom
from greenroom import Actor, Message, Request, handler, start

CALLS_FIRST = ((1, 3000), (3000, 12000), (3000, 12000))
"""Function calls of a life before the first Ctrl-C: while it boots, or works."""
CALLS_NEXT = ((1, 60), (1, 60), (1, 600), (1, 1500))
TELLERS = 4
OURS = str(Path(greenroom.__file__).parent)
"""Where the calls that count are defined. A clone's folder may be called greenroom, too, and hold all of `.venv`."""


class Put(Message):
    number: int


class Numbers(Request[list[int]]):
    pass


class Book(msgspec.Struct):
    numbers: list[int] = []


class First(Actor[Book]):
    @handler
    def put(self, message: Put) -> None:
        self.state.numbers.append(message.number)
        self.system.ref("/t/second").tell(message)

    @handler
    def numbers(self, request: Numbers) -> list[int]:
        return self.state.numbers


class Second(Actor[Book]):
    @handler
    async def put(self, message: Put) -> None:
        await asyncio.sleep(0)
        self.state.numbers.append(message.number)

    @handler
    def numbers(self, request: Numbers) -> list[int]:
        return self.state.numbers


TREE = tree(First, Second)


async def live(url: str, life: int, acked: int) -> None:
    async with start(TREE, store=url, on_event=lambda _: None) as system:

        async def tell(number: int) -> None:
            while True:
                await system.ref("/t/first").tell(Put(number=number))
                os.write(acked, f"{number}\n".encode())
                number += TELLERS

        async with asyncio.TaskGroup() as tellers:
            for teller in range(TELLERS):
                tellers.create_task(tell(life * 100_000 + teller))


async def left(url: str) -> list[list[int]]:
    async with start(TREE, store=url) as system:
        await system.idle()
        return [await system.ref(address).ask(Numbers()) for address in ("/t/first", "/t/second")]


def interrupt_at(calls: list[int]) -> None:
    done, left = 0, sorted(calls)

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal done
        # Python looks for signals after a call of C, not before one: between the last line under a lock and the call
        # that unlocks it there is no moment for a Ctrl-C. `Worker.settle` is what asyncio calls to wake somebody.
        if event == "c_call" or frame.f_code.co_name == "settle":
            return
        if frame.f_code.co_filename.startswith(OURS):
            done += 1
            if left and done >= left[0]:
                left.pop(0)
                if not left:
                    sys.setprofile(None)
                signal.raise_signal(signal.SIGINT)

    sys.setprofile(count)


def child(folder: Path, life: int, calls: list[int]) -> None:
    errors = os.open(folder / "stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(errors, 2)
    acked = os.open(folder / "acked", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    logger.remove()
    interrupt_at(calls)
    try:
        asyncio.run(live(f"sqlite:///{folder / 'node.db'}", life, acked))
    except KeyboardInterrupt:
        sys.exit(0)
    except BaseExceptionGroup as group:
        sys.exit(0 if group.split(KeyboardInterrupt)[1] is None else 1)


def ended(pid: int) -> int | str:
    """The exit status of a life; or why it hangs. Then its stacks are on its stderr."""
    status = None

    def done() -> bool:
        nonlocal status
        ended, found = os.waitpid(pid, os.WNOHANG)
        if ended:
            status = found
        return bool(ended)

    if (why := Pulse(pid).wait(done, pause_s=0.002)) is None:
        assert status is not None
        return status
    ask_for_stacks(pid)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return why


def main(folder: Path, seed: int, lives: int) -> None:
    draw = random.Random(seed)
    asyncio.run(left(f"sqlite:///{folder / 'node.db'}"))  # the schema: a life is one of a node that has lived before
    for life in range(1, lives + 1):
        calls = [draw.randrange(*draw.choice(CALLS_FIRST))]
        for _ in range(draw.choice((1, 1, 2))):
            calls.append(calls[-1] + draw.randrange(*draw.choice(CALLS_NEXT)))
        pid = os.fork()
        if not pid:
            try:
                child(folder, life, calls)
            except SystemExit:
                raise
            except BaseException:
                traceback.print_exc()
                os._exit(2)
        how = ended(pid)
        if how != 0:
            said = (folder / "stderr").read_text()[-30_000:]
            print(json.dumps({"life": life, "calls": calls, "ended": how, "said": said}), flush=True)
    print(json.dumps({"left": asyncio.run(left(f"sqlite:///{folder / 'node.db'}"))}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
