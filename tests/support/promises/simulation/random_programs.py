"""Random programs of actors, and what they must leave behind.

A program is a forest of messages. The actor that handles one notes its id in its state, asks, fails some attempts, and
tells on. Ids are unique, so the trees of a forest don't meet but in the actors' mailboxes, and the outcome of each tree
doesn't depend on the schedule: the model is a walk down the tree.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
from grounds import MemoryGround, pool, tree
from hypothesis import strategies as st

from greenroom import Actor, AskFailed, Backoff, Message, Reject, Request, Retry, handler
from greenroom.persistence.store.rows import ActorRow, DeadLetterRow

ATTEMPTS = 4
ALWAYS = 99
ADDRESSES = ["/t/a", "/t/b", "/t/pool/x", "/t/pool/y", "/t/batch"]
BATCH = ADDRESSES[-1]


class Do(Message):
    id: int
    to: str
    how: str = "raise"
    fail: int = 0
    """So many attempts fail."""
    asks: list[Do] = []
    tells: list[Do] = []
    delay_s: float = 0.0
    priority: int = 0
    key: bool = False
    """Told twice, under the same idempotency key."""
    stops: bool = False
    """The incarnation ends after the turn."""
    asked: bool = False
    """It is asked, not told."""


class Answer(Request[int]):
    do: Do


class Seen(msgspec.Struct):
    told: list[int] = []
    asked: list[int] = []


class Doer(Actor[Seen]):
    backoff = Backoff(initial_s=0.01, factor=2.0, jitter=0.0)
    max_attempts = ATTEMPTS

    @handler
    async def do(self, message: Do) -> None:
        self.state.told.append(message.id)
        await self.carry_out(message)

    @handler
    async def answer(self, request: Answer) -> int:
        self.state.asked.append(request.do.id)
        await self.carry_out(request.do)
        return request.do.id

    async def carry_out(self, do: Do) -> None:
        for asked in do.asks:
            try:
                assert await self.system.ref(asked.to).ask(Answer(do=asked), timeout_s=1e6) == asked.id
            except AskFailed as error:
                assert asked.fail, error
        for told in do.tells:
            tell(self.system, told)
        if self.turn.attempt <= do.fail:
            match do.how:
                case "retry":
                    raise Retry(after_s=0.5)
                case "reject":
                    raise Reject
                case "state":
                    self.state.told.append("no number")  # type: ignore[arg-type]
                case _:
                    raise RuntimeError(do.how)
        if do.stops:
            self.stop()


class Batcher(Doer):
    @handler
    async def do(self, messages: list[Do]) -> None:  # type: ignore[override]
        for message in messages:
            self.state.told.append(message.id)
            await self.carry_out(message)


SPEC = tree(("a", Doer), ("b", Doer), ("batch", Batcher), pool(Doer, intensity=10**6), intensity=10**6)


def tell(system: Any, do: Do) -> Any:
    """Returns the receipt."""
    options: dict[str, Any] = {"delay_s": do.delay_s or None, "priority": do.priority}
    if do.key:
        options["key"] = str(do.id)
        system.ref(do.to).tell(do, **options)
    return system.ref(do.to).tell(do, **options)


# -- the model ------------------------------------------------------------------------------------------


class Traces:
    """Of messages: who was told what, who was asked what, what is dead."""

    def __init__(self) -> None:
        self.told: Counter[tuple[str, int]] = Counter()
        self.asked: Counter[tuple[str, int]] = Counter()
        self.dead: Counter[tuple[str, int]] = Counter()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Traces) and vars(self) == vars(other)

    def __repr__(self) -> str:
        return "; ".join(f"{what} {dict(sorted(count.items()))}" for what, count in vars(self).items())

    def add(self, other: Traces) -> None:
        self.told += other.told
        self.asked += other.asked
        self.dead += other.dead


class Expected(Traces):
    """The outcome of one tree of messages, if its root is not lost."""

    def __init__(self, root: Do) -> None:
        super().__init__()
        self.once: set[int] = set()
        """Ids that no ask between actors had a hand in: those are handled, or dead, exactly once, whatever happens. An
        ask is repeated with the turn that asks."""
        if root.asked:
            self._answered(root, 1, True)
        else:
            self._told(root, 1, True)
        for counter in (self.told, self.asked, self.dead):
            for name in [name for name, count in counter.items() if not count]:
                del counter[name]

    def _told(self, do: Do, times: int, once: bool) -> None:
        if do.key:  # however often it is told
            times, once = min(times, 1), True
        if once:
            self.once.add(do.id)
        dies = do.fail >= ATTEMPTS
        attempts = (1 if do.how == "reject" else ATTEMPTS) if dies else do.fail + 1
        for asked in do.asks:
            self._answered(asked, times * attempts, False)
        if dies:
            self.dead[do.to, do.id] += times
            return
        self.told[do.to, do.id] += times
        for other in do.tells:
            self._told(other, times, once)

    def _answered(self, do: Do, times: int, once: bool) -> None:
        for asked in do.asks:
            self._answered(asked, times, False)
        if do.fail:
            return  # rolled back, each time
        if once:
            self.once.add(do.id)
        self.asked[do.to, do.id] += times
        for other in do.tells:
            self._told(other, times, once)


def left_by(ground: MemoryGround) -> Traces:
    """The outcome that the store has."""
    traces = Traces()
    for row in ground.rows(ActorRow):
        state = msgspec.json.decode(row.state)
        traces.told.update((row.address, id) for id in state["told"])
        traces.asked.update((row.address, id) for id in state["asked"])
    traces.dead.update((row.address, msgspec.json.decode(row.body)["id"]) for row in ground.rows(DeadLetterRow))
    return traces


# -- programs -------------------------------------------------------------------------------------------


@st.composite
def programs(draw: st.DrawFn) -> list[Do]:
    ids = iter(range(1, 10**6))
    choose = lambda *values: draw(st.sampled_from(values))  # noqa: E731

    def below(above: str) -> list[str]:
        """Asks go down the list alone, so that they can't close a circle. Batches neither ask nor are asked."""
        return [address for address in ADDRESSES[:-1] if above < address]

    def make(depth: int, choices: list[str], *, asked: bool = False) -> Do:
        to, own = choose(*choices), next(ids)
        batch, outside = to == BATCH, asked and depth == 0
        asks: list[Do] = []
        if depth < 3 and below(to) and not (batch or outside):
            asks = [make(depth + 1, below(to), asked=True) for _ in range(draw(st.integers(0, 1)))]
        tells = [make(depth + 1, ADDRESSES) for _ in range(draw(st.integers(0, 2 if depth < 2 else 0)))]
        how = "raise" if batch else choose("raise", "retry", "reject", "state")
        fails = [0, 0, 0, ALWAYS] if how == "reject" else [0, 0, 0, 0, 1, 2, ALWAYS]
        return Do(
            id=own,
            to=to,
            how=how,
            fail=0 if outside or (batch and tells) else choose(*fails),
            asks=asks,
            tells=tells,
            delay_s=0.0 if asked else choose(0.0, 0.0, 0.0, 3.0),
            priority=choose(0, 0, 0, 5, -5),
            key=not asked and choose(False, False, False, True),
            stops=choose(False, False, False, True),
            asked=asked,
        )

    count = draw(st.integers(1, 6))
    return [
        make(0, ADDRESSES[:-1], asked=True) if choose(False, False, False, True) else make(0, ADDRESSES)
        for _ in range(count)
    ]
