"""self.stash and self.unstash_all: messages that wait until their actor can handle them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grounds import Ground, pool, tree
from stash_actors import (
    Batch,
    Close,
    Crash,
    D,
    Door,
    Enter,
    Guests,
    Keys,
    Knock,
    Notebook,
    Notes,
    Open,
    ask,
    guests,
    house,
    knock,
    tell,
)

from greenroom import (
    Actor,
    ActorNotFound,
    AskTimeout,
    ChildSpec,
    GetState,
    RestartChild,
    StashFull,
    TerminateChild,
    TurnClosed,
    handler,
)
from greenroom.actors.extensions.stash import Stashes
from greenroom.actors.kernel.cell import STOPPED
from greenroom.persistence.store.rows import AttemptRow, DeadLetterRow, MessageRow
from greenroom.testing import Recorder, VirtualRuntime

EITHER = pytest.mark.parametrize("durable", [True, False])


@pytest.fixture(autouse=True)
def gate() -> None:
    Door.gate = asyncio.Event()


# -- aside, and back -------------------------------------------------------------------------------------------


@EITHER
async def test_they_come_back_at_the_head_in_their_order(ground: Ground, durable: bool) -> None:
    async with ground.node(house(durable=durable)) as system:
        await knock(system, "a", "b", "c")
        assert await guests(system) == []
        door = system.ref(D)
        door.tell(Open())
        door.tell(Knock(label="d"))
        assert await guests(system) == ["a", "b", "c", "d"]
        assert not system.kernel.part(Stashes).of(D)
    assert not ground.rows(MessageRow)


async def test_the_turn_commits_all_but_the_acknowledgement(ground: Ground) -> None:
    async with ground.node(house()) as system:
        await knock(system, "a", then="tell")
        await system.kernel.commits.flush()
        assert [label for label, _ in await system.ref("/t/notes").ask(Notes())] == ["a waits"]
        assert (await system.ref(D).ask(GetState()))["refused"] == 1
        (row,) = ground.rows(MessageRow)
        assert (row.address, row.type) == (D, "Knock")
        assert not ground.rows(AttemptRow)
        await tell(system, Open())
    assert not ground.rows(MessageRow)


@EITHER
async def test_put_aside_again_it_keeps_its_place(ground: Ground, durable: bool) -> None:
    async with ground.node(house(durable=durable)) as system:
        await knock(system, "a", "b")
        door = system.ref(D)
        door.tell(Open())
        door.tell(Close())
        await system.idle()
        await knock(system, "c", "d", then="again")
        assert await guests(system) == ["a", "b"]
        await tell(system, Open())
        assert await guests(system) == ["a", "b", "c", "d"]


@EITHER
async def test_priorities_hold(ground: Ground, durable: bool) -> None:
    async with ground.node(house(durable=durable)) as system:
        await knock(system, "low", priority=-1)
        await knock(system, "a")
        await knock(system, "high", priority=7)
        await knock(system, "b")
        door = system.ref(D)
        door.tell(Knock(label="c"), priority=7)
        door.tell(Open(), priority=9)
        assert await guests(system) == ["high", "c", "a", "b", "low"]


@EITHER
@pytest.mark.parametrize(("then", "refused"), [("first", 3), ("both", 6)])
async def test_both_in_one_turn(ground: Ground, durable: bool, then: str, refused: int) -> None:
    """A message that is put aside before `unstash_all` comes back; one that is put aside after it doesn't."""
    async with ground.node(house(durable=durable)) as system:
        await knock(system, "a")
        await knock(system, "b", then=then)
        assert (await system.ref(D).ask(GetState()))["refused"] == refused
        await tell(system, Open())
        assert sorted(await guests(system)) == ["a", "b"]


@EITHER
async def test_unstash_all_of_nothing(ground: Ground, durable: bool) -> None:
    async with ground.node(house(durable=durable)) as system:
        await tell(system, Open())
        assert await guests(system) == []


@EITHER
@pytest.mark.parametrize("labels", [["a"], ["a", "b", "c"]])
async def test_a_batch_is_put_aside_as_one(ground: Ground, durable: bool, labels: list[str]) -> None:
    async with ground.node(house(durable=durable)) as system:
        for label in labels:
            system.ref(D).tell(Batch(label=label))
        await system.idle()
        assert len(system.kernel.part(Stashes).of(D)) == len(labels)
        await system.kernel.commits.flush()
        assert len(ground.rows(MessageRow)) == (len(labels) if durable else 0)
        await tell(system, Open())
        assert "".join(await guests(system)).replace("+", "") == "".join(labels)
    assert not ground.rows(MessageRow)


# -- requests -----------------------------------------------------------------------------------------------------


@EITHER
async def test_whoever_asked_goes_on_waiting(ground: Ground, durable: bool) -> None:
    async with ground.node(house(durable=durable)) as system:
        asked = await ask(system, Enter(label="a"))
        await knock(system, "b")
        assert not asked.done()
        await tell(system, Open())
        assert await asked == "welcome, a"
        assert await guests(system) == ["a", "b"]
    assert not ground.rows(MessageRow)


async def test_in_a_transaction(disk: Ground) -> None:
    async with disk.node(house()) as system:
        asked = await ask(system, Enter(label="a", then="transaction"))
        await knock(system, "b")
        assert not asked.done()
        await tell(system, Open())
        assert await asked == "welcome, a"


@EITHER
async def test_one_that_nobody_waits_for_any_more(clock: VirtualRuntime, memory: Ground, durable: bool) -> None:
    async with memory.node(house(durable=durable), runtime=clock) as system:
        asked = asyncio.ensure_future(system.ref(D).ask(Enter(label="a"), timeout_s=2.0))
        await clock.run(knock(system, "b"))
        await clock.advance(3)
        with pytest.raises(AskTimeout):
            await asked
        await clock.run(tell(system, Open()))
        assert await clock.run(guests(system)) == ["b"], "it isn't run"


async def test_an_actor_that_asked(ground: Ground) -> None:
    """Its turn stays open meanwhile: the node isn't idle."""
    async with ground.node(tree(("door", Door), ("notes", Notebook), ("visitor", Visitor))) as system:
        visit = asyncio.ensure_future(system.ref("/t/visitor").ask(Enter(label="v")))
        door = system.ref(D)
        while not system.kernel.part(Stashes).of(D):
            await door.ask(Guests())
        door.tell(Open())
        assert await visit == "welcome, v"


class Visitor(Actor[None]):
    @handler
    async def enter(self, request: Enter) -> str:
        return await self.system.ref(D).ask(request)


# -- failures, ends -------------------------------------------------------------------------------------------------


@EITHER
async def test_a_turn_that_fails_has_put_nothing_aside(ground: Ground, durable: bool) -> None:
    async with ground.node(house(durable=durable)) as system:
        await knock(system, "a", then="fail")
        await system.idle()
        assert len(system.kernel.part(Stashes).of(D)) == 1, "the second attempt's"
        await tell(system, Open())
        assert await guests(system) == ["a"]
    assert not ground.rows(AttemptRow)
    assert not ground.rows(MessageRow)


async def test_an_unstash_that_fails(ground: Ground) -> None:
    """It is an exit as well, and that brings them back, behind which the message itself waits for its retry."""
    async with ground.node(house()) as system:
        await knock(system, "a", "b")
        await tell(system, Open(then="fail"))
        assert await guests(system) == ["a", "b"]


@EITHER
@pytest.mark.parametrize("error", [True, False])
async def test_the_end_of_the_incarnation_brings_them_back(ground: Ground, durable: bool, error: bool) -> None:
    async with ground.node(house(durable=durable, max_attempts=1)) as system:
        await knock(system, "a", "b")
        await tell(system, Crash(error=error))
        assert (await system.ref(D).ask(GetState()))["refused"] == (4 if durable else 2), "both have been tried again"
        await tell(system, Open())
        assert await guests(system) == ["a", "b"]


async def test_asks_hold_over_a_restart(ground: Ground) -> None:
    async with ground.node(house()) as system:
        asked = await ask(system, Enter(label="a"))
        await tell(system, Crash())
        await tell(system, Open())
        assert await asked == "welcome, a"


async def test_of_a_child_that_is_stopped(ground: Ground) -> None:
    async with ground.node(house()) as system:
        asked = await ask(system, Enter(label="a"))
        await knock(system, "b")
        await system.ref("/t").ask(TerminateChild(id="door"))
        with pytest.raises(ActorNotFound):
            await asked
        assert not system.kernel.part(Stashes).of(D)
        await system.ref("/t").ask(RestartChild(id="door"))
        await tell(system, Open())
        assert await guests(system) == ["b"]


async def test_retire_takes_them_along(ground: Ground) -> None:
    async with ground.node(tree(pool(Door), ("notes", Notebook))) as system:
        door = "/t/pool/a"
        await knock(system, "a", "b", to=door)
        asked = asyncio.ensure_future(system.ref(door).ask(Enter(label="c", then="retire")))
        with pytest.raises(ActorNotFound):
            await asked
        assert not ground.rows(MessageRow)
        await knock(system, "d", to=door)
        await knock(system, "e", then="retire", to=door)
        await system.kernel.commits.flush()
        assert not ground.rows(MessageRow)
        assert await guests(system, door) == []


async def test_a_cell_that_is_gone_leaves_the_stash_of_the_next_one_alone(ground: Ground) -> None:
    async with ground.node(tree(pool(Door), ("notes", Notebook))) as system:
        door = "/t/pool/a"
        await knock(system, "a", to=door)
        gone = system.kernel.cells[door]
        await knock(system, "b", then="retire", to=door)
        await knock(system, "c", to=door)
        gone.fence(STOPPED)  # as by a stop that began before the retire, and ends after it
        await tell(system, Open(), door)
        assert await guests(system, door) == ["c"]


async def test_it_is_not_passivated_with_something_aside(clock: VirtualRuntime, memory: Ground) -> None:
    spec = tree(pool(ChildSpec(id="door", actor=Door, idle_timeout_s=1.0)), ("notes", Notebook))
    async with memory.node(spec, runtime=clock) as system:
        door = "/t/pool/a"
        await clock.run(knock(system, "a", to=door))
        await clock.advance(20)
        assert door in system.kernel.cells
        await clock.run(tell(system, Open(), door))
        assert await clock.run(guests(system, door)) == ["a"]
        await clock.advance(20)
        assert door not in system.kernel.cells


async def test_the_next_life_has_them_as_ordinary_mail(ground: Ground) -> None:
    async with ground.node(house()) as system:
        await knock(system, "a", "b")
        await knock(system, "c", then="tell")
        image = ground.image()
    for data in (ground, image):
        async with data.node(house()) as system:
            await system.idle()
            assert len(system.kernel.part(Stashes).of(D)) == 3
            await tell(system, Open())
            assert await guests(system) == ["a", "b", "c"]
        assert not data.rows(MessageRow)


# -- identity --------------------------------------------------------------------------------------------------------


async def test_the_key_stays_the_same(ground: Ground) -> None:
    async with ground.node(house()) as system:
        await knock(system, "a")
        (row,) = ground.rows(MessageRow)
        await tell(system, Open())
        assert await system.ref(D).ask(Keys()) == [row.uid]


@EITHER
@pytest.mark.parametrize("request_", [True, False])
async def test_what_both_turns_tell_has_ids_of_its_own(ground: Ground, durable: bool, request_: bool) -> None:
    """One message, two turns that both commit: their sends must not be taken for the same."""
    async with ground.node(house(durable=durable)) as system:
        asked = None
        if request_:
            asked = await ask(system, Enter(label="a", then="tell"))
        else:
            await knock(system, "a", then="tell")
        await system.idle()
        await tell(system, Open())
        if asked is not None:
            await asked
        await system.idle()
        found = await system.ref("/t/notes").ask(Notes())
        assert [label for label, _ in found] == ["a waits", "a is in"]
        assert len({uid for _, uid in found}) == 2
    assert not ground.rows(MessageRow)


async def test_across_lives_too(ground: Ground) -> None:
    for _ in range(3):
        async with ground.node(house()) as system:
            if not ground.rows(MessageRow):
                await knock(system, "a", then="tell")
            await system.idle()
    async with ground.node(house()) as system:
        await system.idle()
        await tell(system, Open())
        await system.idle()
        found = await system.ref("/t/notes").ask(Notes())
        assert [label for label, _ in found] == ["a waits"] * 4 + ["a is in"]
        assert len({uid for _, uid in found}) == 5
    assert not ground.rows(MessageRow)
    assert not ground.rows(DeadLetterRow)


# -- bounds, mistakes ------------------------------------------------------------------------------------------------


@EITHER
async def test_as_many_as_the_mailbox_holds(ground: Ground, durable: bool) -> None:
    async with ground.node(house(durable=durable, capacity=3, max_attempts=1)) as system:
        events = Recorder(system)
        await knock(system, "a", "b", "c")
        assert not events.of("message.parked")
        await knock(system, "d")
        assert events.of("message.parked", D)[0].measures["error"].endswith(StashFull.__name__)
        await tell(system, Open())
        assert await guests(system) == ["a", "b", "c"]


async def test_requests_that_are_over_take_no_room(clock: VirtualRuntime, memory: Ground) -> None:
    async with memory.node(house(capacity=2), runtime=clock) as system:
        for _ in range(5):
            asked = [asyncio.ensure_future(system.ref(D).ask(Enter(label="x"), timeout_s=1.0)) for _ in range(2)]
            await clock.advance(2)
            assert all(isinstance(found.exception(), AskTimeout) for found in asked)
        await clock.run(knock(system, "a", "b"))
        await clock.run(tell(system, Open()))
        assert await clock.run(guests(system)) == ["a", "b"]


class Early(Door):
    error: BaseException | None = None

    async def on_start(self) -> None:
        self.unstash_all()
        try:
            self.stash()
        except RuntimeError as error:
            Early.error = error


async def test_where_there_is_no_message(ground: Ground) -> None:
    async with ground.node(house(Early)) as system:
        assert "puts the message aside that is being handled" in str(Early.error)
        actor: Any = system.kernel.cells[D].incarnation.actor  # type: ignore[union-attr]
        for call in (actor.stash, actor.unstash_all):
            with pytest.raises(TurnClosed):
                call()
