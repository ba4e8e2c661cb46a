"""The node that the tests of process death run in a process of its own: `python node_process.py WHAT PATH`.

It prints what it has done, line by line, and is killed by the test.
"""

from __future__ import annotations

import asyncio
import sys

from greenroom.persistence.engines.sqlite.engine import SqliteStore
from greenroom.persistence.engines.sqlite.sidecars.slot_file import SlotFile
from greenroom.persistence.runtime import Runtime
from greenroom.persistence.store.checksums import seal
from greenroom.persistence.store.commit import Commit
from greenroom.persistence.store.rows import ActorRow, MessageRow


def say(what: object) -> None:
    print(what, flush=True)


async def hold(path: str) -> None:
    await SqliteStore(f"sqlite:///{path}", Runtime()).open()
    say("open")
    await asyncio.Event().wait()


async def commit_loop(path: str, *, threaded: bool) -> None:
    store = SqliteStore(f"sqlite:///{path}", Runtime())
    number = (await store.open()).commit_no
    while True:
        number += 1
        commit = Commit(number)
        for place in range(3):
            row = MessageRow(number * 10 + place, "/a", 0, None, f"{number:032x}", "", None, "T", "x" * 2000)
            commit.inserts.append(seal(row))
        commit.put(seal(ActorRow("/a", "A", str(number), 1, 1.0)))
        if number > 5:
            commit.delete(MessageRow, *((number - 5) * 10 + place for place in range(3)))
        if threaded:
            await store.commit(commit)
        else:
            store.commit_now(commit)
        say(number)


async def note(path: str) -> None:
    attempts = SlotFile(f"{path}.slots", f"{path}.hang")
    attempts.open()
    attempts.note(0, "00" * 16, "/idle")
    attempts.clear(0)
    attempts.note(1, "11" * 16, "/bank/alice")
    attempts.note(2, "22" * 16, "/bank/bob", True)
    attempts.note(3, "33" * 16, "/bank/eve")
    attempts.hang(3, "stack of the guilty\n")
    say("noted")
    await asyncio.Event().wait()


def main() -> None:
    what, path = sys.argv[1:]
    if what == "hold":
        asyncio.run(hold(path))
    elif what == "note":
        asyncio.run(note(path))
    else:
        asyncio.run(commit_loop(path, threaded=what == "commit"))


main()
