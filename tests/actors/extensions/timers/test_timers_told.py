"""Timers that can be scheduled, and ones that can't. Each tick is a message of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest
from grounds import Ground, tree
from tick_actors import (
    Other,
    Plan,
    T,
    Tick,
    Ticker,
    Unknown,
    as_ticker,
    close_gate,
    plan,
    timers,
)

from greenroom import (
    Actor,
    Message,
    NotAMessage,
    Request,
    TooManyTimers,
    UndecodableMessage,
    UnhandledMessage,
    handler,
)
from greenroom.actors.extensions.timers import changes as timing_module
from greenroom.actors.extensions.timers import timer as timer_module
from greenroom.actors.extensions.timers.registry import Timers
from greenroom.testing import Recorder, VirtualRuntime


@pytest.fixture(autouse=True)
def gate() -> None:
    close_gate()


# -- mistakes ----------------------------------------------------------------------------------------------


class Careless(Actor[None]):
    durable = False
    how: Any
    error: BaseException | None = None

    @handler
    def plan(self, message: Plan) -> None:
        try:
            Careless.how(self)
        except Exception as error:
            Careless.error = error

    @handler
    def tick(self, message: Tick) -> None: ...


NOON = datetime(2031, 5, 4, 12)

MISTAKES: list[tuple[Any, type[Exception], str]] = [
    (lambda a: a.schedule(Tick()), TypeError, "none of them was given"),
    (lambda a: a.schedule(Tick(), after_s=1, every_s=2), TypeError, "after_s and every_s were given"),
    (lambda a: a.schedule(Tick(), after_s=-1), ValueError, "after_s=-1: it is at least 0"),
    (lambda a: a.schedule(Tick(), after_s="1"), TypeError, "after_s='1': it is a number of seconds"),
    (lambda a: a.schedule(Tick(), after_s=True), TypeError, "it is a number of seconds"),
    (lambda a: a.schedule(Tick(), after_s=float("nan")), ValueError, "after_s=nan"),
    (lambda a: a.schedule(Tick(), after_s=float("inf")), ValueError, "after_s=inf"),
    (lambda a: a.schedule(Tick(), every_s=0), ValueError, "every_s=0: it is at least 0.001"),
    (lambda a: a.schedule(Tick(), every_s=1e11), ValueError, "at most"),
    (lambda a: a.schedule(Tick(), at=NOON), ValueError, "Give it one: tzinfo=UTC"),
    (lambda a: a.schedule(Tick(), at="noon"), TypeError, "at='noon': it is a datetime"),
    (lambda a: a.schedule(Tick(), at=datetime(9999, 1, 1, tzinfo=UTC)), ValueError, "a hundred years"),
    (lambda a: a.schedule(Tick(), after_s=1, timezone="UTC"), TypeError, "belongs to a cron expression"),
    (lambda a: a.schedule(Tick(), after_s=1, name=""), ValueError, "1 to 200 characters"),
    (lambda a: a.schedule(Tick(), after_s=1, name="a\nb"), ValueError, "printable"),
    (lambda a: a.schedule(Tick(), after_s=1, name=7), TypeError, "a timer's name is a str"),
    (lambda a: a.cancel(Tick), TypeError, "a timer's name is a str"),
    (lambda a: a.schedule("tick", after_s=1), NotAMessage, "'tick'"),
    (lambda a: a.schedule(Tick, after_s=1), NotAMessage, "Make an instance"),
    (lambda a: a.schedule(Unknown(), after_s=1), UnhandledMessage, "Unknown"),
    (lambda a: a.schedule(Tick(label=cast(Any, object())), after_s=1), UndecodableMessage, "Tick"),
]


@pytest.mark.parametrize(("how", "kind", "text"), MISTAKES)
async def test_a_mistake_says_what_to_do(memory: Ground, how: Any, kind: type[Exception], text: str) -> None:
    Careless.how = staticmethod(how)
    Careless.error = None
    async with memory.node(tree(("ticker", Careless))) as system:
        await plan(system)
        assert not system.kernel.part(Timers).of(T)
    assert isinstance(Careless.error, kind)
    assert text in str(Careless.error)


class Hoarder(Ticker):
    @handler
    def other(self, message: Other) -> None:
        self.cancel("0")
        for number in range(9):
            self.schedule(Tick(), after_s=100, name=str(number))


async def test_an_actor_has_so_many_timers(memory: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing_module, "TIMERS_MAX", 10)
    assert timer_module.TIMERS_MAX == 10_000
    async with memory.node(tree(("ticker", Hoarder))) as system:
        for _ in range(2):  # the same names again are no more
            await system.ref(T).tell(Other())
        await plan(system, "the tenth", after_s=100)
        assert len(timers(memory)) == 10
        events = Recorder(system)
        await plan(system, after_s=100, name="one too many")
        assert events.of("message.failed", T)[0].measures["error"].endswith(TooManyTimers.__name__)
        assert len(timers(memory)) == 10


# -- what is told --------------------------------------------------------------------------------------------


class Mutable(Message):
    items: list[int] = []


class Answer(Request[int]):
    pass


class Spoiler(Actor[list[list[int]]]):
    """Changes what it is told, and tells itself requests."""

    def initial_state(self) -> list[list[int]]:
        return []

    @handler
    def plan(self, message: Plan) -> None:
        items = [1]
        self.schedule(Mutable(items=items), every_s=1)
        items.append(2)  # after it was told
        self.schedule(Answer(), after_s=1)

    @handler
    def spoil(self, message: Mutable) -> None:
        self.state.append(list(message.items))
        message.items.append(3)

    @handler
    def answer(self, message: Answer) -> int:
        self.state.append([])
        return 1


@pytest.mark.parametrize("durable", [True, False])
async def test_each_tick_is_a_message_of_its_own(clock: VirtualRuntime, memory: Ground, durable: bool) -> None:
    async with memory.node(as_ticker(Spoiler, durable=durable), runtime=clock) as system:
        await clock.run(plan(system))
        await clock.advance(3)
        assert system.kernel.cells[T].incarnation.actor.state == [[1], [], [1], [1]]  # type: ignore[union-attr]


async def test_who_the_sender_is(clock: VirtualRuntime, memory: Ground) -> None:
    async with memory.node(tree(Ticker), runtime=clock) as system:
        async with system.trace(T) as turns:
            await clock.run(plan(system, every_s=2))
            await clock.advance(4.5)
            await clock.run(system.idle())
            found = [turn for turn in turns.take() if turn.type == "Tick"]
        assert [(turn.sender, turn.attempt, turn.outcome) for turn in found] == [(T, 1, "finished")] * 2
        assert len({turn.uid for turn in found}) == 2
