"""huey on SQLite: its consumer with one worker thread. A task leaves the queue before it runs; there are no batches."""

import logging
import threading

from huey import SqliteHuey
from huey.consumer import Consumer
from measuring import bodies, check_full, database, end_to_end, job, report

logging.disable(logging.CRITICAL)
huey = SqliteHuey(filename=database("huey"), fsync=True, results=False)
done = threading.Event()
handled = 0


@huey.task()
def handle(body: str) -> None:
    global handled
    handled += 1
    if handled == job().messages:
        done.set()


class InProcess(Consumer):
    def _set_signal_handlers(self) -> None:
        """The process ends by itself."""


def produce() -> None:
    for body in bodies():
        handle(body)
    check_full(huey.storage.conn)


def consume(messages: int) -> None:
    InProcess(huey, workers=1, periodic=False, initial_delay=0.001, max_delay=0.01).start()
    done.wait()


report(one=end_to_end(produce, consume))
