"""localqueue: put, get, ack; a commit for each of them."""

import json
import sqlite3

_connect = sqlite3.connect


def synced(*arguments: object, **options: object) -> sqlite3.Connection:
    """Whatever the library leaves out, each commit is synced."""
    connection = _connect(*arguments, **options)  # type: ignore[call-overload]
    connection.execute("pragma synchronous=full")
    return connection  # type: ignore[no-any-return]


sqlite3.connect = sqlite3.dbapi2.connect = synced  # type: ignore[assignment]

from localqueue import DurabilityMode, SimpleQueue  # noqa: E402
from measuring import bodies, database, end_to_end, report  # noqa: E402

queue = SimpleQueue(database("localqueue"), durability=DurabilityMode.DURABLE)


def produce() -> None:
    for body in bodies():
        queue.put(body)


def consume(messages: int) -> None:
    for _ in range(messages):
        message = queue.get(timeout=10)
        json.loads(message.data)
        queue.ack(message)


report(one=end_to_end(produce, consume))
