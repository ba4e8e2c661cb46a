"""The process that is killed: `python havoc_victim.py DATABASE SEED [BUG]`, driven by lines on its standard input.

    live N S    the N-th life of the node, in a forked child; S: seconds after which it leaves by itself, or 0
    alone N     the N-th life, in this process itself
    settle      a last life that finishes everything
    downgrade   give the database the schema of the release before

The parent of the children does nothing but fork them: they begin with everything imported, so that a kill falls into
the node's life, and not into Python's. It says `born PID` and `died STATUS`; everything that the child has said
comes in between.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
import traceback
from collections.abc import Coroutine
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import alembic.command  # noqa: F401  (the migrations import these when they are needed: here they are there already)
import sqlalchemy.ext.asyncio  # noqa: F401
from havoc import ACCOUNTS, TELLERS, TREE, Begin, Credit, End, Links, account, say, tell_for_ever
from havoc_bugs import plant
from loguru import logger
from patience import Hung, patience

import greenroom.persistence.engines.sqlite.lending.connection  # noqa: F401
from greenroom import ActorSystem, start
from greenroom.persistence.migrations.version import SCHEMA_VERSION, VERSION_TABLE, revision
from greenroom.persistence.store.rows import OWNER_TABLE, PREFIX, ROWS

SETTLE_CPU_S_MAX, CHAIN_CPU_S_MAX = 8.0, 2.0
"""Far more than it takes, looking again and again whether it has happened."""
WAITING = "SELECT (SELECT count(*) FROM greenroom_message) + (SELECT count(*) FROM greenroom_inbox)"
LIFE_S_MAX = 600
"""Then a child that nobody has killed is ended by an alarm."""
BEFORE = 3
"""The schema version that a life migrates from. A later schema needs another `downgrade`."""
assert SCHEMA_VERSION == BEFORE + 1
TABLES = (*(table.name for table in ROWS.values()), OWNER_TABLE)


async def live(url: str, seed: str, life: str, leave_after_s: str) -> None:
    async with start(TREE, store=url) as system:
        say("up")
        await system.ref("/h/clock").tell(Begin())
        names = [f"{life}-{number}" for number in range(TELLERS)]
        tellers = [asyncio.create_task(tell_for_ever(system, name, seed)) for name in names]
        await asyncio.sleep(float(leave_after_s) or LIFE_S_MAX)
        for task in tellers:
            task.cancel()
        say("closing")
    say("closed")


async def settle(url: str) -> None:
    """Until nobody tells anything any more, and nothing waits, delayed tells and retries included."""
    path = url.removeprefix("sqlite:///")
    quiet = Path(path).with_suffix(".quiet")
    async with start(TREE, store=url) as system:
        say("up")
        for number in range(ACCOUNTS):  # one that nobody has paid or charged has no row
            await system.ref(account(number)).tell(Credit(source="opening", number=number, amount=0))
        await stop_clock(system)
        with closing(sqlite3.connect(path)) as connection, suppress(Hung):
            async with patience(cpu_s=SETTLE_CPU_S_MAX):  # what is left then shouldn't be
                while not quiet.exists() or connection.execute(WAITING).fetchone()[0]:
                    await asyncio.sleep(0.02)
                    await system.idle()
    say("settled")


async def stop_clock(system: ActorSystem) -> None:
    """If it still goes: a link that was lost leaves nothing behind that would schedule the next one."""
    clock = system.ref("/h/clock")
    await clock.tell(Begin())
    links = await clock.ask(Links())
    try:
        async with patience(cpu_s=CHAIN_CPU_S_MAX):
            while await clock.ask(Links()) == links:
                await asyncio.sleep(0.005)
    except Hung:
        say("stuck")
    await clock.tell(End())


def downgrade(path: str) -> None:
    """The schema of the release before: tables without a prefix, and all that is in them."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        if connection.execute("PRAGMA user_version").fetchone() != (SCHEMA_VERSION,):  # killed before it was made
            return
        for line in (
            "BEGIN IMMEDIATE",
            *(f"ALTER TABLE {name} RENAME TO {name.removeprefix(PREFIX)}" for name in TABLES),
            f"UPDATE {VERSION_TABLE} SET version_num = '{revision(BEFORE)}'",
            f"PRAGMA user_version = {BEFORE}",
            "COMMIT",
        ):
            connection.execute(line)


def in_child(coroutine: Coroutine[Any, Any, None]) -> None:
    """Fork, run it, and say how it ended."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.alarm(LIFE_S_MAX)
            os.close(0)
            asyncio.run(coroutine)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    coroutine.close()
    say("born", pid)
    _, status = os.waitpid(pid, 0)
    say("died", os.waitstatus_to_exitcode(status))


def main() -> None:
    path, seed, *bugs = sys.argv[1:]
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    for bug in bugs:
        plant(bug)
    url = f"sqlite:///{path}"
    for line in sys.stdin:
        match line.split():
            case ["live", life, leave_after_s]:
                in_child(live(url, seed, life, leave_after_s))
            case ["alone", life]:
                say("born", os.getpid())
                asyncio.run(live(url, seed, life, "0"))
            case ["settle"]:
                in_child(settle(url))
            case ["downgrade"]:
                downgrade(path)
                say("downgraded")


if __name__ == "__main__":
    main()
