"""thespian on its simpleSystemBase: actors of one process, run by the caller."""

from time import perf_counter

from measuring import asks_per_s, job, report
from thespian.actors import Actor, ActorSystem


class Counter(Actor):
    total = 0

    def receiveMessage(self, message: object, sender: object) -> None:  # noqa: N802
        if message == "total":
            self.send(sender, self.total)
        else:
            self.total += 1


system = ActorSystem("simpleSystemBase", logDefs={"version": 1})
counter = system.createActor(Counter)
began = perf_counter()
for _ in range(job().tells):
    system.tell(counter, 1)
assert system.ask(counter, "total", 60) == job().tells
tell_s = perf_counter() - began
report(tell=job().tells / tell_s, ask=asks_per_s(lambda: system.ask(counter, "total", 10)))
