"""The process that loses its power: `python -m powerloss.victim DATABASE NOTES FIRST LIVES COUNT BUG`.

A node is started, works, is closed, and so on for some lives, numbered from FIRST. The power may fail at every point
of that.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from loguru import logger

from greenroom import start
from greenroom.persistence.engines.sqlite.sidecars import slot_file
from powerloss.planted import store
from powerloss.tellers import Notes, Tellers, keep_copy
from powerloss.workload import TREE


def on_a_machine_of_its_own() -> None:
    """A process that finds its files has had a power cut, and so another start of the machine."""
    name = os.urandom(16).hex().encode()
    slot_file._machine_boot = lambda: name


async def main(path: Path, notes: Notes, first: int, lives: int, count: int, bug: str) -> None:
    url = f"sqlite:///{path}"
    for life in range(first, first + lives):
        async with start(TREE, store=store(bug, url)) as system:
            await Tellers(system, url, life, count, notes.say).play()
            if life == 0:
                await keep_copy(path, life, notes.say)
            await system.idle()


if __name__ == "__main__":
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    on_a_machine_of_its_own()
    database, notes, first, lives, count, bug = sys.argv[1:]
    asyncio.run(main(Path(database), Notes(notes), int(first), int(lives), int(count), bug))
