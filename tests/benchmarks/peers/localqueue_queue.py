"""localqueue: put, get, ack; a commit for each of them."""

import json

from measuring import bodies, database, end_to_end, report, sync_every_commit

sync_every_commit()

from localqueue import DurabilityMode, SimpleQueue  # noqa: E402

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
