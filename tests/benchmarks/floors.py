"""Floors: the same work written by hand, without any actor. Our figures are measured against them, in the same run."""

from __future__ import annotations

import asyncio
import json
import queue
import sqlite3
import threading
from collections import deque
from math import inf
from pathlib import Path
from time import perf_counter
from typing import Any

BODY = "x" * 80


Told = tuple[int, str, asyncio.Future[None]]
"""A row's id, its body, and the future of its teller."""


def _database(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma synchronous=full")
    connection.execute("create table queue(id integer primary key, body text not null)")
    return connection


def bare_commit_us(folder: Path, rounds: int = 4_000) -> float:
    """Median microseconds of one BEGIN, INSERT, COMMIT."""
    connection = _database(folder / "bare.db")
    times = []
    for number in range(rounds):
        began = perf_counter()
        connection.execute("begin immediate")
        connection.execute("insert into queue values(?, ?)", (number, BODY))
        connection.execute("commit")
        times.append(perf_counter() - began)
    connection.close()
    return sorted(times)[rounds // 2] * 1e6


def plain_sqlite(folder: Path, messages: int, body: str = BODY) -> float:
    """Messages/s of plain sqlite3 that inserts, and then deletes, the same rows in batches of 64."""
    connection = _database(folder / "plain.db")
    began = perf_counter()
    for start in range(0, messages, 64):
        ids = range(start, min(start + 64, messages))
        connection.execute("begin immediate")
        connection.executemany("insert into queue values(?, ?)", [(number, body) for number in ids])
        connection.execute("commit")
        connection.execute("begin immediate")
        connection.executemany("delete from queue where id = ?", [(number,) for number in ids])
        connection.execute("commit")
    took = perf_counter() - began
    connection.close()
    return messages / took


async def group_commit(folder: Path, messages: int, tellers: int, seconds: float = inf) -> float:
    """Messages/s of an asyncio mailbox on one writer thread: a tell is awaited until its row is committed, then the
    message is decoded, and its deletion rides in the next commit. No actor, no state, no supervision.

    Args:
        seconds: after which the tellers stop, however many they have told.
    """
    connection = _database(folder / "group.db")
    loop = asyncio.get_running_loop()
    work: queue.SimpleQueue[Any] = queue.SimpleQueue()
    mailbox: asyncio.Queue[tuple[int, str]] = asyncio.Queue()
    done: asyncio.Future[None] = loop.create_future()
    told: int | None = None
    acknowledged = 0

    def land(results: list[tuple[int, str | None, Any]]) -> None:
        nonlocal acknowledged
        for row_id, body, future in results:
            if body is None:
                acknowledged += 1
                if acknowledged == told:
                    done.set_result(None)
            else:
                mailbox.put_nowait((row_id, body))
                future.set_result(None)

    def write() -> None:
        while True:
            batch = [work.get()]
            while len(batch) < 512:
                try:
                    batch.append(work.get_nowait())
                except queue.Empty:
                    break
            if None in batch:
                return
            results: list[tuple[int, str | None, Any]] = []
            connection.execute("begin immediate")
            for row_id, body, future in batch:
                if body is None:
                    connection.execute("delete from queue where id = ?", (row_id,))
                    results.append((row_id, None, None))
                else:
                    cursor = connection.execute("insert into queue(body) values(?)", (body,))
                    results.append((cursor.lastrowid or 0, body, future))
            connection.execute("commit")
            loop.call_soon_threadsafe(land, results)

    async def handle() -> None:
        while True:
            row_id, body = await mailbox.get()
            json.loads(body)
            work.put((row_id, None, None))

    async def tell(count: int) -> int:
        for number in range(count):
            if perf_counter() >= over:
                return number
            future = loop.create_future()
            work.put((0, json.dumps({"number": number, "body": BODY}), future))
            await future
        return count

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    handler = asyncio.create_task(handle())
    began = perf_counter()
    over = began + seconds
    told = sum(await asyncio.gather(*(tell(messages // tellers) for _ in range(tellers))))
    if acknowledged < told:
        await done
    took = perf_counter() - began
    handler.cancel()
    work.put(None)
    thread.join()
    connection.close()
    return told / took


class _Batches:
    """The same mailbox by hand, as a careful engineer writes it: one hop to the writer's thread a batch, one multi-row
    INSERT of it, one DELETE of a range for its acknowledgements, and the tellers' futures resolved in one loop."""

    def __init__(self, folder: Path) -> None:
        self._connection = _database(folder / "batches.db")
        self._loop = asyncio.get_running_loop()
        self._batches: queue.SimpleQueue[tuple[list[Told], tuple[int, int]] | None] = queue.SimpleQueue()
        self._told: list[Told] = []
        self._handled = (0, 0)
        """The range of ids that were handled and aren't deleted yet."""
        self._busy = self._scheduled = False
        self._next = 0
        self.acknowledged = 0
        self.thread = threading.Thread(target=self._write, daemon=True)
        self.thread.start()

    def tell(self, message: Any) -> asyncio.Future[None]:
        self._next += 1
        future: asyncio.Future[None] = self._loop.create_future()
        self._told.append((self._next, json.dumps(message), future))
        if not self._busy and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._hand_over)
        return future

    def _hand_over(self) -> None:
        self._scheduled = False
        if self._told or self._handled[1]:
            self._busy = True
            self._batches.put((self._told, self._handled))
            self._told, self._handled = [], (0, 0)

    def _write(self) -> None:
        execute = self._connection.execute
        while (batch := self._batches.get()) is not None:
            told, (low, high) = batch
            execute("begin immediate")
            for start in range(0, len(told), 512):
                some = told[start : start + 512]
                values = [value for row_id, body, _ in some for value in (row_id, body)]
                execute(f"insert into queue values {','.join(['(?, ?)'] * len(some))}", values)
            if high:
                execute("delete from queue where id between ? and ?", (low, high))
            execute("commit")
            self._loop.call_soon_threadsafe(self._land, told, high - low + 1 if high else 0)
        self._connection.close()

    def _land(self, told: list[Told], deleted: int) -> None:
        self._busy = False
        self.acknowledged += deleted
        for _, body, future in told:
            future.set_result(None)
            json.loads(body)
        if told:
            self._handled = told[0][0], told[-1][0]
        self._hand_over_soon()

    def _hand_over_soon(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._loop.call_soon, self._hand_over)  # after the tellers that were just answered

    def close(self) -> None:
        self._batches.put(None)
        self.thread.join()


async def batched_commit(folder: Path, messages: int, tellers: int) -> float:
    """Messages/s of `_Batches`, end to end."""
    batches = _Batches(folder)

    async def tell(count: int) -> None:
        for number in range(count):
            await batches.tell({"number": number, "body": BODY})

    count = messages // tellers
    began = perf_counter()
    await asyncio.gather(*(tell(count) for _ in range(tellers)))
    while batches.acknowledged < count * tellers:
        await asyncio.sleep(0)
    took = perf_counter() - began
    batches.close()
    return count * tellers / took


class _Bare:
    """A deque and a future: the least an in-memory actor can be."""

    def __init__(self) -> None:
        self.queue: deque[Any] = deque()
        self.waiting: asyncio.Future[None] | None = None
        self.total = 0

    def tell(self, message: Any) -> None:
        self.queue.append(message)
        waiting, self.waiting = self.waiting, None
        if waiting is not None:
            waiting.set_result(None)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not self.queue:
                self.waiting = loop.create_future()
                await self.waiting
            reply, amount = self.queue.popleft()
            self.total += amount
            if reply is not None:
                reply.set_result(self.total)


async def bare_actor(tells: int, asks: int) -> tuple[float, float]:
    """Tells/s and asks/s of the least there can be."""
    loop = asyncio.get_running_loop()
    actor = _Bare()
    task = asyncio.create_task(actor.run())
    await asyncio.sleep(0)
    began = perf_counter()
    for _ in range(tells):
        actor.tell((None, 1))
    reply = loop.create_future()
    actor.tell((reply, 1))
    await reply
    tell_s = perf_counter() - began
    began = perf_counter()
    for _ in range(asks):
        reply = loop.create_future()
        actor.tell((reply, 1))
        await reply
    ask_s = perf_counter() - began
    task.cancel()
    return tells / tell_s, asks / ask_s
