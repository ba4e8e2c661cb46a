"""pykka: one thread an actor."""

from time import perf_counter

import pykka
from measuring import asks_per_s, job, report


class Counter(pykka.ThreadingActor):
    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def on_receive(self, message: int) -> int:
        self.total += message
        return self.total


counter = Counter.start()
began = perf_counter()
for _ in range(job().tells):
    counter.tell(1)
assert counter.ask(0) == job().tells
tell_s = perf_counter() - began
report(tell=job().tells / tell_s, ask=asks_per_s(lambda: counter.ask(1)))
