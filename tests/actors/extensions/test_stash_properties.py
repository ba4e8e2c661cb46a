"""The stash against a model, through restarts, crashes and a store that fails; and data that the store refuses."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import pytest
from grounds import Ground, MemoryGround
from hypothesis import given, settings
from hypothesis import strategies as st
from stash_actors import Close, Crash, D, Door, Enter, Guests, Knock, Notes, Open, ask, guests, house, knock, tell

from greenroom import ActorSystem, StoreDataError, StoreError, StoreUnavailable
from greenroom.actors.extensions.stash import Stashes
from greenroom.persistence.store.rows import ActorRow, AttemptRow, DeadLetterRow, MessageRow
from greenroom.testing import VirtualRuntime


class Waiting(NamedTuple):
    label: str
    then: str
    priority: int
    place: int
    """Of its row: rising with the time at which it was written."""


class Model:
    """A door whose mailbox is empty after each step: what it can't handle is in its stash."""

    def __init__(self) -> None:
        self.open = False
        self.guests: list[str] = []
        self.stash: list[Waiting] = []
        self.notes: list[str] = []
        self.places = 0

    def knock(self, label: str, then: str, priority: int) -> None:
        self.places += 1
        self.handle(Waiting(label, then, priority, self.places))

    def handle(self, message: Waiting) -> None:
        if self.open:
            self.guests.append(message.label)
        else:
            if message.then == "tell":  # it goes on as a new message
                self.places += 1
                message = message._replace(place=self.places)
            self.stash.append(message)
        if message.then == "tell":
            self.notes.append(f"{message.label} is in" if self.open else f"{message.label} waits")

    def again(self, *, from_disk: bool = False) -> None:
        """All that was put aside is in the mailbox, and is handled."""
        back, self.stash = self.stash, []
        if from_disk:
            back.sort(key=lambda message: message.place)
        for message in sorted(back, key=lambda message: -message.priority):
            self.handle(message)


steps = st.one_of(
    st.tuples(st.just("knock"), st.sampled_from(["", "tell"]), st.sampled_from([0, 0, 5, -5])),
    st.tuples(st.sampled_from(["open", "close", "exit", "boot", "crash", "break"]), st.just(""), st.just(0)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=30))
def test_any_program(program: list[tuple[str, str, int]]) -> None:
    asyncio.run(run(program))


async def run(program: list[tuple[str, str, int]]) -> None:
    model, ground, clock = Model(), MemoryGround(), VirtualRuntime()
    pending = list(enumerate(program))
    lives = 0
    while pending or not lives:
        async with ground.node(house(), runtime=clock, on_event=lambda _: None) as system:
            if lives:
                model.again(from_disk=True)
            lives += 1
            await clock.run(system.idle())
            following: Ground = ground
            while pending and following is ground:
                number, (what, then, priority) = pending.pop(0)
                following = await step(model, ground, clock, system, what, f"{number}", then, priority)
            assert await clock.run(guests(system)) == model.guests
            stash = [row_of(ground, entry) for entry in system.kernel.part(Stashes).of(D)]
            assert stash == [message.label for message in model.stash]
        assert isinstance(following, MemoryGround)
        ground = following
    async with ground.node(house(), runtime=clock, on_event=lambda _: None) as system:
        model.again(from_disk=True)
        await clock.run(tell(system, Open()))
        model.open = True
        model.again()
        assert await clock.run(guests(system)) == model.guests
        notes = await clock.run(system.ref("/t/notes").ask(Notes()))
        assert sorted(label for label, _ in notes) == sorted(model.notes)
        assert len({uid for _, uid in notes}) == len(notes), "each has an id of its own"
    assert not ground.rows(MessageRow)
    assert not ground.rows(DeadLetterRow)


async def step(
    model: Model,
    ground: MemoryGround,
    clock: VirtualRuntime,
    system: ActorSystem,
    what: str,
    label: str,
    then: str,
    priority: int,
) -> Ground:
    """Do it, there and in the model; returns the data to go on with."""
    match what:
        case "knock":
            await clock.run(knock(system, label, then=then, priority=priority))
            model.knock(label, then, priority)
        case "open":
            await clock.run(tell(system, Open()))
            model.open = True
            model.again()
        case "close":
            await clock.run(tell(system, Close()))
            model.open = False
        case "exit":
            await clock.run(tell(system, Crash(error=False)))
            model.again()
        case "break":
            ground.plan.fail(StoreUnavailable("cable pulled"))
            with pytest.raises(StoreUnavailable):
                await clock.run(knock(system, label))
            await clock.run(system.idle())
            model.again(from_disk=True)
        case "boot" | "crash":
            await clock.run(system.idle())
            return MemoryGround(ground.data.copy()) if what == "crash" else MemoryGround(ground.data)
    return ground


def row_of(ground: Ground, entry: Any) -> str:
    (row,) = [row for row in ground.rows(MessageRow) if row.id == entry.id]
    return row.body.partition('"label":"')[2].partition('"')[0]


# -- what the store doesn't take -------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def gate() -> None:
    Door.gate = asyncio.Event()


@pytest.mark.parametrize("then", ["", "tell"])
async def test_refused_data_of_a_turn_that_puts_its_message_aside(memory: MemoryGround, then: str) -> None:
    """The message is charged, under the id that its row has."""

    def refuse_twice(commit: Any) -> None:
        charged = [row.count for row in memory.rows(AttemptRow)]
        if charged != [2] and any('"refused":1' in row.state for row in commit.puts.get(ActorRow, ())):
            raise StoreDataError("no")

    async with memory.node(house()) as system:
        memory.plan.hook = refuse_twice
        await knock(system, "a", then=then)
        assert len(system.kernel.part(Stashes).of(D)) == 1
        assert [row.count for row in memory.rows(AttemptRow)] == [2]
        assert [row.id for row in memory.rows(AttemptRow)] == [row.id for row in memory.rows(MessageRow)]
        await tell(system, Open())
        assert await guests(system) == ["a"]
    assert not memory.rows(AttemptRow)
    assert not memory.rows(MessageRow)


async def test_a_store_that_fails_refuses_those_who_wait(memory: MemoryGround) -> None:
    async with memory.node(house()) as system:
        asked = await ask(system, Enter(label="a"))
        await knock(system, "b")
        memory.plan.fail(StoreUnavailable("cable pulled"))
        with pytest.raises(StoreUnavailable):
            await system.ref(D).tell(Knock(label="c"))
        with pytest.raises(StoreError):
            await asked
        await system.idle()
        await tell(system, Open())
        assert await guests(system) == ["b"]
        assert await system.ref(D).ask(Guests()) == ["b"]
