"""What the docstrings of `Actor`, `Turn` and `Retry` promise of a turn that is tried again."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import pytest
from grounds import Ground, MemoryGround, tree

from greenroom import Actor, ExitReason, Message, Reject, Request, Retry, handler
from greenroom.persistence.store.rows import DeadLetterRow
from greenroom.testing import Recorder, VirtualRuntime


class Try(Message):
    failures: int = 2


class Count(Request[int]):
    pass


class Tally(msgspec.Struct):
    count: int = 0


class Trier(Actor[Tally]):
    max_attempts = 5
    attempts: ClassVar[list[dict[str, Any]]] = []

    @handler
    def attempt(self, message: Try) -> None:
        self.state.count += 1
        one = {"attempt": self.turn.attempt, "key": self.turn.key, "now": self.now(), "count": self.state.count}
        one["draws"] = [self.random.random() for _ in range(3)]
        Trier.attempts.append(one)
        if self.turn.attempt <= message.failures:
            raise Retry(after_s=60.0, why="not yet")
        if message.failures < 0:
            raise Reject("never")

    @handler
    def count(self, request: Count) -> int:
        return self.state.count


class InMemory(Trier):
    durable = False


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Trier.attempts = []


async def tried(ground: Ground, clock: VirtualRuntime, cls: type[Trier]) -> int:
    """The count that the actor has after two failed attempts and a third one."""
    async with ground.node(tree(cls), runtime=clock) as system:
        ref = system.ref(f"/t/{cls.__name__.lower()}")
        ref.tell(Try())
        await clock.advance(130.0)
        return await ref.ask(Count())


@pytest.mark.parametrize("cls", [Trier, InMemory])
async def test_each_attempt_has_the_same_key_and_draws_the_same(
    memory: MemoryGround, clock: VirtualRuntime, cls: type[Trier]
) -> None:
    await tried(memory, clock, cls)
    first, second, third = Trier.attempts
    assert [one["attempt"] for one in Trier.attempts] == [1, 2, 3]
    assert first["key"] == second["key"] == third["key"]
    assert first["draws"] == second["draws"] == third["draws"]
    assert len(set(first["draws"])) == 3


async def test_two_messages_draw_differently(memory: MemoryGround, clock: VirtualRuntime) -> None:
    async with memory.node(tree(Trier), runtime=clock) as system:
        for _ in range(2):
            system.ref("/t/trier").tell(Try(failures=0))
        await clock.advance(1.0)
    one, other = Trier.attempts
    assert one["draws"] != other["draws"]


async def test_a_retry_sees_a_later_time(memory: MemoryGround, clock: VirtualRuntime) -> None:
    await tried(memory, clock, Trier)
    times = [one["now"] for one in Trier.attempts]
    assert [(later - times[0]).total_seconds() for later in times] == pytest.approx([0.0, 60.0, 120.0], abs=1.0)
    assert times[0].utcoffset() is not None


@pytest.mark.parametrize(("cls", "counts"), [(Trier, [1, 1, 1]), (InMemory, [1, 2, 3])])
async def test_a_failed_turn_restores_the_state_that_is_stored(
    memory: MemoryGround, clock: VirtualRuntime, cls: type[Trier], counts: list[int]
) -> None:
    assert await tried(memory, clock, cls) == counts[-1]
    assert [one["count"] for one in Trier.attempts] == counts


async def test_the_reason_of_a_retry_is_in_the_event_and_in_the_dead_letter(
    ground: Ground, clock: VirtualRuntime
) -> None:
    events = Recorder()
    async with ground.node(tree(Trier), runtime=clock, on_event=events) as system:
        system.ref("/t/trier").tell(Try(failures=99))
        await clock.advance(600.0)
    assert {event.measures["text"] for event in events.of("message.failed")} == {"not yet"}
    (letter,) = ground.rows(DeadLetterRow)
    assert letter.text == "not yet"


class Odd(Exception):
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __str__(self) -> str:
        raise self.error


@pytest.mark.parametrize("error", [ValueError(), SystemExit(1), GeneratorExit(), RecursionError()], ids=repr)
def test_an_exit_reason_can_be_made_of_any_exception(error: BaseException) -> None:
    assert ExitReason.from_exception(Odd(error)).kind == "error"
