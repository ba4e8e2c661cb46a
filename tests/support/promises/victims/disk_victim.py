"""A process whose disk fails at the n-th write, sync or truncation, for each n: run under the shim of powerloss/.

    python disk_victim.py FOLDER SCRATCH '[["work", "write", 5, 1, [1, 2, 3]]]'

The last is JSON, some rounds: when ("boot", or "work": counted from the end of the boot), operation, errno, how often,
and the numbers n. Each n gets a store of its own. The disk fails and works again; the node goes on by itself, or is
started again if it was its start that failed. Then the books are compared with what was acknowledged, there and after a
restart. It prints a line of JSON: how many faults were met, and where.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from books import SPEC, check, told, workload
from grounds import SqliteGround
from loguru import logger
from patience import patience
from powerloss.shim import Shim

from greenroom import StoreError, StoreFull, StoreUnavailable
from greenroom.persistence.engines.sqlite.driver import connect
from greenroom.persistence.maintenance.verify import verify_store
from greenroom.testing import Recorder


async def one(shim: Shim, folder: Path, when: str, **rule: Any) -> str:
    """Where the fault was met: at the boot, while it worked, or at its end (or nowhere)."""
    ground = SqliteGround(folder)
    acked: set[int] = set()
    refused: dict[int, StoreError] = {}
    met = "nowhere"
    if when == "boot":
        shim.fail(**rule)
    try:
        async with ground.node(SPEC) as system:
            if when == "work":
                shim.fail(**rule)
            met = await work(system, shim, acked, refused)
    except (StoreFull, StoreUnavailable) as error:
        assert str(folder) in str(error) or "disk" in str(error), error
        met = "boot"
    shim.heal()
    async with ground.node(SPEC) as system:
        await workload(system, acked, refused, count=12 if met == "boot" else 0)
        await check(system, acked, refused)
    with closing(connect(str(ground.path), reads_only=True)) as connection:
        assert verify_store(connection, str(ground.path)).count == 0
    return met


async def work(system: Any, shim: Shim, acked: set[int], refused: dict[int, StoreError]) -> str:
    events = Recorder(system)
    await workload(system, acked, refused, count=12)
    broken = bool(events.of("node.broken"))
    shim.heal()
    async with patience():
        await system.idle()  # it goes on by itself
    writer = system.kernel.store._writer
    assert writer is not None
    assert not writer.in_transaction
    before: dict[int, StoreError] = {}
    await told(system.ref("/t/clerk"), 500, acked, before)
    assert not before, "the disk works again, and the node doesn't"
    await check(system, acked, refused)
    return "work" if broken else "nowhere"


async def main(folder: Path, scratch: Path, rounds: list[tuple[str, Any, int, int, list[int]]]) -> None:
    shim = Shim(folder, scratch, log=False)
    met: Counter[str] = Counter()
    for when, operation, error, count, numbers in rounds:
        for nth in numbers:
            place = folder / f"{when}-{operation}-{nth}"
            try:
                met[await one(shim, place, when, operation=operation, nth=nth, count=count, error=error)] += 1
            except BaseException:
                print(f"{when}, {operation} {nth}, error {error}:", file=sys.stderr)
                raise
            shutil.rmtree(place)
    print(json.dumps(met))


if __name__ == "__main__":
    logger.remove()
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])))
