"""larzactor: one thread an actor."""

from time import perf_counter

from larzactor import Actor, ActorSystem
from measuring import asks_per_s, job, report


class Counter(Actor):
    def __init__(self) -> None:
        self.total = 0

    def receive(self, message: int) -> int:
        self.total += message
        return self.total


counter = ActorSystem().spawn(Counter)
counter.ask(0)
began = perf_counter()
for _ in range(job().tells):
    counter.tell(1)
assert counter.ask(0) == job().tells
tell_s = perf_counter() - began
report(tell=job().tells / tell_s, ask=asks_per_s(lambda: counter.ask(1)))
