"""Compares what a victim's database says in the end with what was sent and acknowledged. Knows only the tables."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from havoc import ACCOUNTS, OPENING, PAGE

from greenroom.persistence.maintenance.verify import verify_store

__all__ = ("Findings", "Said", "judge")

EARLY_S_MAX = 0.005
"""The wall clock and the event loop's don't agree to the microsecond."""
SHOWN_MAX = 10


class Name(NamedTuple):
    source: str
    number: int


@dataclass
class Said:
    """The words of all processes, across all lives."""

    sent: dict[Name, str] = field(default_factory=dict)
    """Class of what was told."""
    acked: set[Name] = field(default_factory=set)

    def hear(self, word: str, source: str, number: str, *rest: str) -> None:
        name = Name(source, int(number))
        if word == "sent":
            self.sent[name] = rest[0]
        elif word == "acked":
            self.acked.add(name)


@dataclass
class Findings:
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    handled: int = 0

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.broken)

    def __str__(self) -> str:
        kinds = (("lost", self.lost), ("doubled", self.doubled), ("broken", self.broken))
        return "\n".join(f"{kind} ({len(found)}): {found[:SHOWN_MAX]}" for kind, found in kinds if found) or "clean"


class Entry(NamedTuple):
    source: str
    kind: str
    number: int
    attempt: int
    detail: str


KINDS = {
    "Order": ("order",),
    "Keyed": ("keyed",),
    "Later": ("later",),
    "Poke": ("poke",),
    "Take": ("take",),
    "Transfer": ("debit", "credit"),
    "Poison": (),
}
"""The entries in the book of the source once a message of a class has been handled."""


def judge(path: Path, said: Said) -> Findings:
    """After a last life that has finished everything."""
    found = Findings()
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        states = {
            address: json.loads(state)
            for address, state in connection.execute("SELECT address, state FROM greenroom_actor")
        }
        items = [Name(*row) for row in connection.execute("SELECT source, number FROM item")]
        letters = connection.execute("SELECT address, type, body, cause, text FROM greenroom_dead_letter").fetchall()
        for table in ("message", "inbox", "timer", "attempt"):
            count = connection.execute(f"SELECT count(*) FROM greenroom_{table}").fetchone()[0]
            if count:
                found.broken.append(f"{count} rows are left in {table}")
        damages = verify_store(connection, str(path))
        found.broken += [str(damage) for damage in damages.damages]
    entries = list(_entries(states))
    parked = _parked(letters, found)
    _count(entries, parked, said, found)
    _order(entries, found)
    _money(states, entries, found)
    _clock(entries, found)
    orders = {Name(e.source, e.number) for e in entries if e.kind == "order" and e.number % 11 == 0}
    if Counter(items) != Counter(orders):
        found.broken.append(f"state and SQL differ: {sorted(Counter(items).items() ^ Counter(orders).items())}")
    found.broken += [f"{e} came {-float(e.detail):.3f} s early" for e in entries if _is_early(e)]
    return found


def _entries(states: dict[str, Any]) -> Iterator[Entry]:
    for address, state in states.items():
        if address.startswith("/h/books/"):
            source = address.removeprefix("/h/books/")
            yield from (Entry(source, *entry) for entry in state["entries"])


def _parked(letters: list[Any], found: Findings) -> Counter[Name]:
    parked: Counter[Name] = Counter()
    for address, kind, body, cause, why in letters:
        told = json.loads(body)
        name = Name(told["source"], told["number"])
        if kind == "Poison" or (kind == "Order" and name.number % 29 == 7 and cause == "rejected"):
            parked[name] += 1
        else:
            found.broken.append(f"an innocent was parked: {kind} {name} at {address}, {cause}: {why}")
    return parked


def _count(entries: list[Entry], parked: Counter[Name], said: Said, found: Findings) -> None:
    """Acknowledged ⊆ handled ⊆ sent, each once, with both its sides."""
    times: defaultdict[Name, Counter[str]] = defaultdict(Counter)
    for entry in entries:
        if not entry.source.startswith("clock-") and entry.source != "opening":
            times[Name(entry.source, entry.number)][entry.kind] += 1
    for name in times.keys() | parked.keys() | said.sent.keys():
        kind = said.sent.get(name)
        if kind is None:
            found.broken.append(f"{name} comes out of nowhere: {dict(times[name])}")
            continue
        wants = KINDS[kind]
        if kind == "Poison" or (kind == "Order" and name.number % 29 == 7):
            wants, whole = (), parked[name]
        else:
            whole = min((times[name][side] for side in wants), default=0)
        counts = [times[name][side] for side in wants] + [parked[name]] * (not wants)
        found.handled += whole
        if set(times[name]) - set(wants) or (wants and parked[name]):
            found.broken.append(f"{kind} {name} became {dict(times[name])}, parked {parked[name]} times")
        if max(counts) > 1:
            found.doubled.append(f"{kind} {name}: {dict(times[name]) or parked[name]}")
        elif min(counts) != max(counts):
            found.lost.append(f"one side of {kind} {name}: there is {dict(times[name])}")
        elif not whole and name in said.acked:
            found.lost.append(f"{kind} {name}")


def _order(entries: list[Entry], found: Findings) -> None:
    """First attempts of one sender at one receiver, in the order told. (What was retried may be passed.)"""
    latest: dict[tuple[str, str], int] = {}
    for entry in entries:
        if entry.attempt > 1:
            continue
        if entry.kind in ("order", "keyed"):
            sender, place = "teller", entry.number
        elif entry.kind in ("debit", "credit", "poke"):
            sender, place = entry.detail.split()[1], int(entry.detail.split()[2])
        else:
            continue
        if place <= latest.get((entry.source, sender), 0):
            found.broken.append(f"out of order: {entry} after {latest[entry.source, sender]}")
        latest[entry.source, sender] = place


def _money(states: dict[str, Any], entries: list[Entry], found: Findings) -> None:
    """No transfer makes or destroys money, and each balance is what the notes say."""
    changes: Counter[str] = Counter()
    for entry in entries:
        if entry.kind in ("debit", "credit"):
            changes[entry.detail.split()[1]] += int(entry.detail.split()[3])
    balances = {address: state["balance"] for address, state in states.items() if address.startswith("/h/accounts/")}
    if len(balances) != ACCOUNTS or sum(balances.values()) != ACCOUNTS * OPENING:
        found.broken.append(f"there are {sum(balances.values())} in {len(balances)} accounts")
    for address, balance in balances.items():
        if balance != OPENING + changes[address]:
            found.broken.append(f"{address} has {balance}, and by its notes {OPENING + changes[address]}")


def _clock(entries: list[Entry], found: Findings) -> None:
    """Each tick was of another due time; each link scheduled the next one."""
    for kind in ("tick", "link"):
        numbers: list[int] = []
        marks: list[str] = []
        for entry in entries:
            if entry.kind == kind:
                page = int(entry.source.rpartition("-")[2])
                if entry.number // PAGE != page:
                    found.broken.append(f"{entry} stands on the wrong page")
                numbers.append(entry.number)
                marks.append(entry.detail.split()[1] if kind == "tick" else str(entry.number))
        if len(set(marks)) != len(marks):
            found.doubled.append(f"a {kind}: {[mark for mark, count in Counter(marks).items() if count > 1]}")
        first = 1 if kind == "tick" else 0
        missing = set(range(first, first + len(set(numbers)))) - set(numbers)
        if missing:
            found.lost.append(f"{kind} {sorted(missing)}")


def _is_early(entry: Entry) -> bool:
    return entry.kind == "later" and float(entry.detail) < -EARLY_S_MAX
