"""The node started on what a power cut has left, and its books compared with what the victim had said by then."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from greenroom import ActorSystem, WhichChildren, start
from greenroom.persistence.maintenance.verify import verify_store
from powerloss.images import write
from powerloss.workload import CLIENT, DESK, KEYED, MOVER, PURSE, TREE, VAULTS, Clerk, Number, Order, Read

__all__ = ("Books", "Said", "Violation", "check", "check_copy", "recover")

ROUNDS_MAX = 2_000
POLL_S = 0.001
RETOLD_EVERY = 5


class Violation(AssertionError):
    """A promise is broken."""


class Said:
    """The notes of the victim up to a point."""

    def __init__(self) -> None:
        self.sent: set[Number] = set()
        self.acked: set[Number] = set()
        self.refused: dict[Number, str] = {}
        """By a disk that fails, and whether they may be there nevertheless ("dropped", "unknown")."""
        self.boot = 0
        self.children_sent: set[str] = set()
        self.children_acked: set[str] = set()
        self.copies: dict[str, set[Number]] = {}
        """The numbers that each finished backup must have."""
        self._copying: dict[str, set[Number]] = {}

    def forget_promises(self) -> None:
        """Forget all that a store with `synchronous=normal` may lose: the last commits, so all that is acknowledged."""
        self.acked.clear()
        self.children_acked.clear()
        self.copies.clear()
        self.boot = 0

    def retold(self, boots: int) -> list[int]:
        """Which numbers of the keyed teller a recovery tells again; not each time, since it costs time."""
        return [] if boots % RETOLD_EVERY else sorted(number for teller, number in self.sent if teller == KEYED)

    def again(self) -> Said:
        """The notes that hold for a second victim, which works on the disk after a power cut: nobody waits
        for what was sent."""
        said = Said()
        said.sent, said.acked = set(self.sent), set(self.acked)
        said.refused = {**self.refused, **dict.fromkeys(self.sent - self.acked, "unknown")}
        said.boot = self.boot
        said.children_sent, said.children_acked = set(self.children_sent), set(self.children_acked)
        return said

    def hear(self, note: bytes) -> None:
        match json.loads(note):
            case ["boot", boot]:
                self.boot = boot
            case ["sent", teller, number]:
                self.sent.add((teller, number))
            case ["acked", teller, number]:
                self.acked.add((teller, number))
            case ["refused", teller, number, outcome]:
                self.refused[teller, number] = outcome
            case ["child sent", name]:
                self.children_sent.add(name)
            case ["child acked", name]:
                self.children_acked.add(name)
            case ["copy begun", name]:
                self._copying[name] = set(self.acked)
            case ["copy acked", name]:
                self.copies[name] = self._copying[name]
            case other:
                raise AssertionError(f"the victim said {other}")


class Books(NamedTuple):
    """Everything that a node has once it is idle."""

    boot: int
    entries: dict[str, list[Number]]
    ticks: dict[str, list[Number]]
    purses: list[int]
    items: list[Number]
    dead: list[tuple[Number, str]]
    children: set[str]
    structure: str
    damages: list[str]
    left: dict[str, int]
    """Rows of messages, attempts, timers."""
    keyed: list[Number] | None
    """The entries of the keyed teller after its messages have been told again under their keys; None: they weren't."""


def recover(
    image: Mapping[str, bytes], folder: Path, retold: Iterable[int] = (), name: str = "p.db", options: str = ""
) -> Books:
    """Start a node on an image, let it finish, and read its books.

    Args:
        retold: numbers of the keyed teller to tell again.
        options: of the store's URL.
    """
    write(image, folder)
    try:
        return asyncio.run(_recover(folder / name, list(retold), options))
    finally:
        shutil.rmtree(folder)


async def _recover(path: Path, retold: list[int], options: str) -> Books:
    wait_s, Clerk.tick_after_s = Clerk.tick_after_s, 0.0
    try:
        async with start(TREE, store=f"sqlite:///{path}{options}", on_event=_unheard) as system:
            left = await _settled(system, path)
            entries: dict[str, list[Number]] = {}
            ticks: dict[str, list[Number]] = {}
            purses: list[int] = []
            for address in sorted({*DESK.values(), "/p/ledger", *(f"/p/{name}" for name in VAULTS)}):
                book = await system.ref(address).ask(Read())
                entries[address] = [(teller, number) for teller, number in book.entries]
                ticks[address] = [(teller, number) for teller, number in book.ticks]
                if address.rpartition("/")[2] in VAULTS:
                    purses.append(book.purse)
            children = {str(child.id) for child in await system.ref("/p").ask(WhichChildren())}
            boot = system.kernel.boot
            items, dead = _by_sql(path)
            keyed = await _retell(system, path, retold) if retold else None
        with closing(sqlite3.connect(f"file:{path}?mode=rw", uri=True)) as connection:
            (structure,) = connection.execute("PRAGMA integrity_check").fetchone()
            damages = [str(damage) for damage in verify_store(connection, str(path)).damages]
        return Books(boot, entries, ticks, purses, items, dead, children, structure, damages, left, keyed)
    finally:
        Clerk.tick_after_s = wait_s


def _unheard(event: Any) -> None:
    return None


async def _settled(system: ActorSystem, path: Path) -> dict[str, int]:
    """Until nothing is pending. Timers and retries don't count for `idle`; all of these are due within milliseconds."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        left: dict[str, int] = {}
        for _ in range(ROUNDS_MAX):
            await system.idle()
            await system.kernel.commits.flush()
            left = {
                table: connection.execute(f"SELECT count(*) FROM greenroom_{table}").fetchone()[0]
                for table in ("message", "attempt", "timer", "inbox")
            }
            if not any(left.values()):
                break
            await asyncio.sleep(POLL_S)
    return left


def _by_sql(path: Path) -> tuple[list[Number], list[tuple[Number, str]]]:
    """The user's table, and the dead letters with their causes."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        items = [tuple(row) for row in connection.execute("SELECT teller, number FROM item")]
        dead: list[tuple[Number, str]] = []
        for text, cause in connection.execute("SELECT body, cause FROM greenroom_dead_letter"):
            body = json.loads(text)
            dead.append(((body["teller"], body["number"]), cause))
        return items, dead


async def _retell(system: ActorSystem, path: Path, retold: list[int]) -> list[Number]:
    ref = system.ref(DESK[KEYED])
    await asyncio.gather(*(ref.tell(Order(teller=KEYED, number=number), key=f"{number}") for number in retold))
    await _settled(system, path)
    book = await ref.ask(Read())
    return [(teller, number) for teller, number in book.entries if teller == KEYED]


def check(books: Books, said: Said) -> None:
    """
    Raises:
        Violation: acknowledged and lost, done twice, torn, out of order, or damaged.
    """
    _holds(books.structure == "ok", f"integrity_check: {books.structure}")
    _holds(not books.damages, f"damaged: {books.damages}")
    _holds(not any(books.left.values()), f"never finished: {books.left}")
    _holds(books.boot > said.boot, f"boot {books.boot} after {said.boot}: an epoch came twice")
    _check_orders(books, said)
    _check_moves(books, said)
    _holds(said.children_acked <= books.children, f"lost: {said.children_acked - books.children}")
    extras = {name for name in books.children if name.startswith("extra")}
    _holds(extras <= said.children_sent, f"out of nowhere: {extras - said.children_sent}")
    if books.keyed is not None:
        _once(books.keyed, "told again under its key")


def check_copy(books: Books, wanted: set[Number], said: Said) -> None:
    """A backup that was finished: as good as the database, and has what was acknowledged before it began."""
    then = Said()
    then.sent, then.acked, then.refused, then.children_sent = said.sent, wanted, said.refused, said.children_sent
    check(books, then)


def _check_orders(books: Books, said: Said) -> None:
    clerks = [entry for address in set(DESK.values()) for entry in books.entries[address]]
    _once(clerks, "in its book")
    _once(books.entries["/p/ledger"], "in the ledger")
    _same(set(books.entries["/p/ledger"]), set(clerks), "state and sends")
    dead = [number for number, _ in books.dead]
    _once(dead, "parked")
    _holds(all(cause == "rejected" for _, cause in books.dead), f"parked for no fault of theirs: {books.dead}")
    _holds(not set(dead) & set(clerks), "parked and done")
    done = set(clerks) | set(dead)
    acked = {number for number in said.acked if number[0] != MOVER}
    _holds(acked <= done, f"lost: {sorted(acked - done)}")
    _holds(done <= said.sent, f"out of nowhere: {sorted(done - said.sent)}")
    dropped = {number for number, outcome in said.refused.items() if outcome == "dropped"}
    _holds(not done & dropped, f"refused and done: {sorted(done & dropped)}")
    orders = {(teller, number) for teller, number in clerks if teller != 2}  # the second asks
    as_orders = {(teller, number): Order(teller=teller, number=number) for teller, number in orders}
    ticks = [tick for address in set(DESK.values()) for tick in books.ticks[address]]
    _once(ticks, "ticked")
    _same(set(ticks), {key for key, order in as_orders.items() if order.ticks}, "timers and state")
    _once(books.items, "in the user's table")
    _same(set(books.items), {key for key, order in as_orders.items() if order.writes_sql}, "SQL and state")
    for teller in {teller for teller, _ in clerks} - {CLIENT}:
        numbers = [number for who, number in clerks if who == teller]
        in_order = [number for number in numbers if not Order(teller=teller, number=number).fails_once or teller == 2]
        _holds(in_order == sorted(in_order), f"out of order: {in_order}")
        _check_no_gap(done, said, teller)


def _check_no_gap(done: set[Number], said: Said, teller: int) -> None:
    """Of what one teller told one receiver a prefix is there, and no more."""
    numbers = sorted(number for who, number in said.sent if who == teller and (who, number) not in said.refused)
    there = [number for number in numbers if (teller, number) in done]
    _holds(there == numbers[: len(there)], f"a gap: of {numbers} there are {there}")


def _check_moves(books: Books, said: Said) -> None:
    debits = [entry for name in VAULTS for entry in books.entries[f"/p/{name}"]]
    credits = [entry for name in VAULTS for entry in books.ticks[f"/p/{name}"]]
    _once(debits, "debited")
    _once(credits, "credited")
    _same(set(credits), set(debits), "debits and credits")
    _holds(sum(books.purses) == PURSE * len(VAULTS), f"money made or lost: {books.purses}")
    acked = {number for number in said.acked if number[0] == MOVER}
    _holds(acked <= set(debits), f"lost: {sorted(acked - set(debits))}")
    _holds(set(debits) <= said.sent, "out of nowhere")


def _holds(true: bool, otherwise: str) -> None:
    if not true:
        raise Violation(otherwise)


def _once(numbers: list[Number], where: str) -> None:
    twice = sorted(number for number, count in Counter(numbers).items() if count > 1)
    _holds(not twice, f"twice {where}: {twice}")


def _same(found: set[Number], wanted: set[Number], what: str) -> None:
    _holds(found == wanted, f"{what} differ: {sorted(found ^ wanted)}")
