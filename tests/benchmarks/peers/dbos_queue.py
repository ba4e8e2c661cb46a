"""dbos: a workflow a message, through one of its queues, on SQLite in WAL mode."""

import json
import logging
import sqlite3
import threading
from collections.abc import Sequence

from dbos import DBOS, DBOSClient, EnqueueOptions
from measuring import BATCH, FULL, bodies, database, end_to_end, job, report
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import Engine

POLL_S = 0.05
"""Its default, a second, would be what is measured."""

logging.disable(logging.CRITICAL)


@event.listens_for(Engine, "connect")
def synced(connection: sqlite3.Connection, _: object) -> None:
    connection.execute("pragma journal_mode=wal")
    connection.execute(f"pragma synchronous={FULL}")


url = f"sqlite:///{database('dbos')}"
DBOS(
    config={
        "name": "bench",
        "system_database_url": url,
        "application_version": "1",
        "run_admin_server": False,
        "notification_listener_polling_interval_sec": POLL_S,
    }
)
done = threading.Event()
lock = threading.Lock()
handled = 0


@DBOS.workflow(name="handle")
def handle(body: str) -> None:
    global handled
    json.loads(body)
    with lock:
        handled += 1
        if handled == job().messages:
            done.set()


DBOS.launch()
client = DBOSClient(system_database_url=url)
engine = create_engine(url)
queue = "one"


def produce() -> None:
    for body in bodies():
        client.enqueue(_options(), body)


def produce_batches() -> None:
    waiting = bodies()
    for start in range(0, len(waiting), BATCH):
        _enqueue(waiting[start : start + BATCH])


def _enqueue(batch: Sequence[str]) -> None:
    with engine.begin() as connection:
        for body in batch:
            client.enqueue_in_transaction(connection, _options(), body)


def _options() -> EnqueueOptions:
    return {"queue_name": queue, "workflow_name": "handle", "app_version": "1"}


def consume(messages: int) -> None:
    global handled
    DBOS.register_queue(queue, polling_interval_sec=POLL_S)
    assert done.wait(300)
    done.clear()
    handled = 0


with engine.connect() as connection:
    assert connection.execute(text("pragma synchronous")).scalar() == FULL
one = end_to_end(produce, consume)
queue = "batches"  # nothing polls a queue before it is registered
report(one=one, batch=end_to_end(produce_batches, consume))
