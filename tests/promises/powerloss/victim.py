"""The process that loses its power: `python -m powerloss.victim DATABASE NOTES LIVES COUNT BUG`.

A node is started, works, is closed, and so on for some lives. Every point of that is one where the power may fail.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from loguru import logger

from powerloss.planted import store
from powerloss.workload import TREE, Notes, keep_copy, play
from understudy import start


async def main(path: Path, notes: Notes, lives: int, count: int, bug: str) -> None:
    url = f"sqlite:///{path}"
    for life in range(lives):
        async with start(TREE, store=store(bug, url)) as system:
            await play(system, url, life, count, notes.say)
            if life == 0:
                await keep_copy(path, life, notes.say)
            await system.idle()


if __name__ == "__main__":
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    database, notes, lives, count, bug = sys.argv[1:]
    asyncio.run(main(Path(database), Notes(notes), int(lives), int(count), bug))
