"""The way of one durable message, step by step: what each microsecond pays for.

Every step is timed by itself on the objects of a running node, the least of several rounds; beside them stands what the
whole way takes in one piece. The sum is less than the whole, which has the loops around the steps as well.
"""

from __future__ import annotations

import asyncio
import sqlite3
import timeit
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from floors import BODY
from ours import Add, Total, counters, silent

from greenroom import start
from greenroom.actors.delivery.ref import Receipt
from greenroom.actors.kernel.turn import begin
from greenroom.actors.mailbox.envelope import Envelope
from greenroom.actors.messages.codec import round_trip
from greenroom.actors.messages.message import tag_of
from greenroom.actors.system import ActorSystem
from greenroom.persistence.commit.effects import fold
from greenroom.persistence.engines.sqlite.statements import insert, upsert
from greenroom.persistence.store.commit import Commit
from greenroom.persistence.store.rows import ActorRow, MessageRow

__all__ = ("TELL", "TURN", "WRITTEN", "steps_us")

TELL, TURN, WRITTEN = "told", "handled", "written"
BATCH = 64
CALLS, ROUNDS = 2_000, 15


async def steps_us(folder: Path) -> dict[str, float]:
    """Microseconds of each step, by `part: step`; and of the whole way by `whole: part`."""
    async with start(counters(2), store=f"sqlite:///{folder}/steps.db", on_event=silent) as system:
        found = {**_told(system), **_handled(system), **_written(system, folder)}
        found.update(await _wholes(system))
    return found


def _least(step: Callable[[], object], calls: int = CALLS) -> float:
    """Microseconds of a call, without what calling a function of nothing costs."""
    empty = min(timeit.repeat(_nothing, number=calls, repeat=ROUNDS))
    return max(0.0, min(timeit.repeat(step, number=calls, repeat=ROUNDS)) - empty) / calls * 1e6


def _nothing() -> None:
    pass


def _told(system: ActorSystem) -> dict[str, float]:
    message = Add(number=1, body=BODY)
    cell = system.kernel.router.resolve("/bench/c0")
    uid, tag = system.kernel.next_uid(), tag_of(Add)
    body, _ = round_trip(cell.address, message)
    committer = system.kernel.commits

    def push_and_take() -> None:
        cell.mailbox.push(message)
        cell.mailbox.pop()

    def queue() -> None:
        committer.entries.append(message)
        committer.entries.pop()

    steps: dict[str, Callable[[], object]] = {
        "encode, and decode as proof and as the receiver's copy": lambda: round_trip(cell.address, message),
        "uid": system.kernel.next_uid,
        "envelope": lambda: Envelope(cell.address, uid, message, tag, body),
        "place in the commit queue": queue,
        "into the mailbox and out of it": push_and_take,
        "receipt": lambda: Receipt(system.kernel, 1, message),
    }
    return {f"{TELL}: {name}": _least(step) for name, step in steps.items()}


def _handled(system: ActorSystem) -> dict[str, float]:
    cell = system.kernel.router.resolve("/bench/c0")
    incarnation = cell.incarnation
    assert incarnation is not None
    actor = incarnation.actor
    envelope = Envelope(cell.address, system.kernel.next_uid(), Add(number=1, body=BODY), "Add", b"{}")
    function = incarnation.cell.handlers[Add].function
    slot = system.kernel.attempts.slots - 1  # no runner has got so far

    def state_of_a_turn() -> None:
        actor.state.total += 1
        cell.state.changed(actor)

    steps: dict[str, Callable[[], object]] = {
        "turn": lambda: begin(incarnation, envelope, envelope.message, envelope.uid),
        "start noted in the slot file": lambda: system.kernel.attempts.note(slot, envelope.uid, cell.address),
        "handler, in its actor's context": lambda: incarnation.context.run(function, actor, envelope.message),
        "encode the state, and decode as proof": state_of_a_turn,
    }
    found = {f"{TURN}: {name}": _least(step) for name, step in steps.items()}
    system.kernel.attempts.clear(slot)
    cell.state.restore(actor)
    return found


def _written(system: ActorSystem, folder: Path) -> dict[str, float]:
    """Of a commit: what it does for each message, state and row, and what it costs by itself."""
    cell = system.kernel.router.resolve("/bench/c0")
    incarnation = cell.incarnation
    assert incarnation is not None
    told = []
    for number in range(BATCH):
        body, message = round_trip(cell.address, Add(number=number, body=BODY))
        envelope = Envelope(cell.address, system.kernel.next_uid(), message, "Add", body)
        envelope.id = number + 1
        turn = begin(incarnation, envelope, message, envelope.uid)
        turn.ack, turn.inserts, turn.state = envelope.id, (), None
        told += [envelope, turn]
    elided = _least(lambda: fold(told, Commit(1)), 20) / BATCH
    state = b'{"total":1}'
    rows = [envelope.row() for envelope in told[::2]]
    states = [cell.state.actor_row(state)._replace(address=f"/bench/c{number}") for number in range(BATCH)]
    connection = sqlite3.connect(folder / "rows.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"CREATE TABLE greenroom_message (id INTEGER PRIMARY KEY, {', '.join(MessageRow._fields[1:])})")
    connection.execute(
        f"CREATE TABLE greenroom_actor (address TEXT PRIMARY KEY NOT NULL, {', '.join(ActorRow._fields[1:])})"
    )
    connection.execute("CREATE TABLE greenroom_owner (node TEXT PRIMARY KEY NOT NULL, commit_no INTEGER)")
    connection.execute("INSERT INTO greenroom_owner VALUES ('main', 0)")
    inserts, upserts, commits = [], [], []
    for _ in range(200):
        inserts.append(_timed(connection, insert(MessageRow, BATCH), rows, "DELETE FROM greenroom_message"))
        upserts.append(_timed(connection, upsert(ActorRow, BATCH), states, ""))
        began = perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE greenroom_owner SET commit_no = commit_no + 1")
        connection.execute("COMMIT")
        commits.append(perf_counter() - began)
    connection.close()
    return {
        f"{WRITTEN}: folding, a message that needs no row": elided,
        f"{WRITTEN}: row and checksum, a message that does": _least(told[0].row),
        f"{WRITTEN}: inserted and deleted, a message that does": min(inserts) / BATCH * 1e6,
        f"{WRITTEN}: row and checksum, a state": _least(lambda: cell.state.actor_row(state)),
        f"{WRITTEN}: upserted, a state": min(upserts) / BATCH * 1e6,
        f"{WRITTEN}: BEGIN, the owner's row, COMMIT with its sync": sorted(commits)[len(commits) // 2] * 1e6,
    }


def _timed(connection: sqlite3.Connection, statement: str, rows: list[Any], after: str) -> float:
    parameters = [value for row in rows for value in row]
    connection.execute("BEGIN IMMEDIATE")
    began = perf_counter()
    connection.execute(statement, parameters)
    if after:
        connection.execute(after)
    took = perf_counter() - began
    connection.execute("ROLLBACK" if after else "COMMIT")
    return took


async def _wholes(system: ActorSystem) -> dict[str, float]:
    """A bulk of tells, and their turns, each in one piece: outside a commit, which waits until they are through."""
    ref = system.ref("/bench/c1")
    tells, turns = [], []
    for _ in range(ROUNDS):
        await system.idle()
        began = perf_counter()
        for number in range(CALLS):
            ref.tell(Add(number=number, body=BODY))
        told = perf_counter()
        await ref.ask(Total())
        tells.append(told - began)
        turns.append(perf_counter() - told)
        await asyncio.sleep(0)
    return {f"whole: {TELL}": min(tells) / CALLS * 1e6, f"whole: {TURN} and written": min(turns) / CALLS * 1e6}
