"""persist-queue: SQLiteAckQueue message by message; SQLiteQueue, which has no acknowledgements, in batches."""

import json
from pathlib import Path

import persistqueue
from measuring import BATCH, bodies, check_full, database, end_to_end, report

CLEARED_EVERY = 1_000

acked = persistqueue.SQLiteAckQueue(str(Path(database("acked")).parent), multithreading=True)
check_full(acked._getter, acked._putter)


def produce() -> None:
    for body in bodies():
        acked.put(body)


def consume(messages: int) -> None:
    for number in range(messages):
        body = acked.get()
        json.loads(body)
        acked.ack(body)
        if number % CLEARED_EVERY == CLEARED_EVERY - 1:
            acked.clear_acked_data(keep_latest=0)


one = end_to_end(produce, consume)

batched = persistqueue.SQLiteQueue(str(Path(database("batched")).parent), auto_commit=False, multithreading=True)
check_full(batched._getter, batched._putter)


def produce_batches() -> None:
    for number, body in enumerate(bodies(), 1):
        batched.put(body)
        if number % BATCH == 0:
            batched.task_done()
    batched.task_done()


def consume_batches(messages: int) -> None:
    for number in range(1, messages + 1):
        json.loads(batched.get())
        if number % BATCH == 0:
            batched.task_done()
    batched.task_done()


report(one=one, batch=end_to_end(produce_batches, consume_batches))
