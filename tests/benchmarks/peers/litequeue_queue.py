"""litequeue: put, pop, done. Its transaction() makes batches of puts; each pop is a transaction of its own."""

import json
import time

from litequeue import LiteQueue
from measuring import BATCH, bodies, check_full, database, end_to_end, report


def opened(path: str) -> LiteQueue:
    queue = LiteQueue(path)
    queue.conn.execute("pragma synchronous=full")
    check_full(queue.conn)
    return queue


def drained(path: str, batch: int) -> float:
    incoming, outgoing = opened(path), opened(path)

    def produce() -> None:
        waiting = bodies()
        for start in range(0, len(waiting), batch):
            if batch == 1:
                incoming.put(waiting[start])
                continue
            with incoming.transaction(mode="IMMEDIATE"):
                for body in waiting[start : start + batch]:
                    incoming.put(body)

    def consume(messages: int) -> None:
        handled = 0
        while handled < messages:
            message = outgoing.pop()
            if message is None:
                time.sleep(0.001)
                continue
            json.loads(message.data)
            outgoing.done(message.message_id)
            handled += 1

    return end_to_end(produce, consume)


report(one=drained(database("one"), 1), batch=drained(database("batch"), BATCH))
