"""Suspects that run beside one another, as far as their limits let them, while the node is up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grounds import Ground, MemoryGround, as_spec, pool, tree
from patience import patience, patient
from suspicion import limited, recovered

from greenroom import Actor, Backoff, Message, Request, StartFailed, handler
from greenroom.actors.recovery import trial
from greenroom.actors.recovery.suspects import FREE_DEATHS
from greenroom.persistence.store.rows import AttemptRow, DeadLetterRow
from greenroom.testing import Recorder, VirtualRuntime


class Wait(Message):
    """Wait until the gate opens."""


class Burn(Message):
    """Take the process down: the ground is copied at that moment."""

    waits: bool = False


class Attempts(Request[list[int]]):
    pass


class World:
    """What the handlers of all actors see and do."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.inside = 0
        """The number of handlers that wait at the gate."""
        self.most = 0
        self.order: list[str] = []
        self.ground: Ground | None = None
        self.images: list[Ground] = []
        self.held: list[Any] = []

    async def at_gate(self, address: str) -> None:
        self.order.append(address)
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await self.gate.wait()
            for _ in range(5):
                await asyncio.sleep(0)
        finally:
            self.inside -= 1


world: World


class Waiter(Actor[list[int]]):
    max_attempts = 3
    backoff = Backoff(initial_s=0.001, factor=1.0, jitter=0.0)

    def initial_state(self) -> list[int]:
        return []

    @handler
    async def wait(self, message: Wait) -> None:
        await world.at_gate(self.address)
        self.state.append(self.turn.attempt)

    @handler
    async def burn(self, message: Burn) -> None:
        if message.waits:
            await asyncio.sleep(0)
        assert world.ground is not None
        world.images.append(world.ground.image())
        await asyncio.Event().wait()

    @handler
    def attempts(self, request: Attempts) -> list[int]:
        return self.state


class Slow(Waiter):
    """It waits in its `on_start`."""

    async def on_start(self) -> None:
        await world.at_gate(self.address)

    @handler
    async def wait(self, message: Wait) -> None:
        self.state.append(self.turn.attempt)


class Unable(Waiter):
    able = True

    async def on_start(self) -> None:
        if not self.able:
            raise RuntimeError

    @handler
    async def wait(self, message: Wait) -> None:
        await world.at_gate(self.address)


@pytest.fixture(autouse=True)
def fresh() -> None:
    global world
    world = World()
    Unable.able = True


def spec(kind: type[Actor[Any]] = Waiter) -> Any:
    return tree(pool(as_spec(("x", kind), shutdown="brutal_kill")), ("idle", Waiter), intensity=100)


SPEC = spec()
NAMES = [f"/t/pool/{number}" for number in range(8)]


async def inside(count: int) -> None:
    """Return when so many handlers wait at the gate."""
    async with patience():
        while world.inside < count:
            await asyncio.sleep(0)


async def first_life(ground: Ground, names: list[str] = NAMES, of: Any = SPEC) -> Ground:
    """The disk that kill -9 leaves when handlers wait."""
    async with ground.node(of) as system:
        for name in names:
            await system.ref(name).tell(Wait())
        await inside(len(names))
        image = ground.image()
    world.order.clear()
    world.most = 0
    return image


async def attempts(system: Any, names: list[str] = NAMES) -> list[list[int]]:
    return [await system.ref(name).ask(Attempts()) for name in names]


async def test_the_node_is_up_while_suspects_wait_beside_one_another(ground: Ground) -> None:
    image = await first_life(ground)
    events = Recorder()
    async with image.node(SPEC, on_event=events) as system:
        await inside(8)
        assert await system.ref("/t/idle").ask(Attempts()) == []
        await system.ref("/t/pool/other").tell(Wait())
        await inside(9)
        assert not events.of("recovery.ended")
        world.gate.set()
        await system.idle()
        assert await attempts(system) == [[1]] * 8
        assert system.kernel.caution is None
    (started,), (ended,) = events.of("recovery.started"), events.of("recovery.ended")
    assert started.measures == {"suspects": 8, "alone": 0, "absent": 0}
    assert {name: ended.measures[name] for name in ("suspects", "charged", "forgotten")} == {
        "suspects": 8,
        "charged": 0,
        "forgotten": 0,
    }


@pytest.mark.parametrize("limit", [1, 2, 5])
async def test_only_so_many_run_at_once(memory: MemoryGround, limit: int) -> None:
    image = await first_life(memory)
    assert isinstance(image, MemoryGround)
    async with limited(image, limit).node(SPEC) as system:
        await inside(limit)
        for _ in range(50):
            await asyncio.sleep(0)
        assert world.inside == limit
        assert await system.ref("/t/idle").ask(Attempts()) == []
        world.gate.set()
        await system.idle()
        assert await attempts(system) == [[1]] * 8
    assert world.most == limit


async def test_the_least_suspicious_go_first(memory: MemoryGround, clock: VirtualRuntime) -> None:
    """On this clock they are waited for, however long it takes until they come."""
    image = await first_life(memory)
    assert isinstance(image, MemoryGround)
    async with limited(image, 1, 3, 2, 0).node(SPEC, runtime=clock) as system:
        await inside(5)
        world.gate.set()
        await clock.run(system.idle())
        assert await clock.run(attempts(system)) == [[1]] * 8
    assert world.order[:5] == NAMES[3:]  # those without a limit
    assert world.order[5:] == [NAMES[1], NAMES[2], NAMES[0]]


async def test_actors_that_are_started_for_suspects_count_as_well(memory: MemoryGround) -> None:
    of = spec(Slow)
    async with memory.node(of) as system:
        for name in NAMES:
            await system.ref(name).tell(Wait())
        await inside(8)
        image = memory.image()
    world.most = 0
    assert isinstance(image, MemoryGround)
    async with limited(image, 3).node(of) as system:
        await inside(3)
        world.gate.set()
        await system.idle()
        assert await attempts(system) == [[1]] * 8
    assert world.most == 3


async def test_a_start_that_fails_is_charged_and_no_suspicion_is_left(memory: MemoryGround) -> None:
    of = spec(Unable)
    image = await first_life(memory, NAMES[:2], of)
    assert isinstance(image, MemoryGround)
    Unable.able = False
    async with limited(image, 1).node(of) as system:
        await recovered(system)
        await system.idle()
    assert [letter.cause for letter in image.rows(DeadLetterRow)] == ["start_failed"] * 2


async def test_nobody_waits_for_ever_for_a_suspect_that_never_ends(memory: MemoryGround, clock: VirtualRuntime) -> None:
    image = await first_life(memory, NAMES[:2])
    assert isinstance(image, MemoryGround)
    async with limited(image, 1).node(SPEC, runtime=clock) as system:
        await inside(1)
        await clock.advance(trial.HELD_S / 2)
        assert world.inside == 1
        await clock.advance(trial.HELD_S)
        assert world.inside == 2
        world.gate.set()
        await clock.run(system.idle())


async def test_one_that_is_expected_and_doesnt_come(memory: MemoryGround, clock: VirtualRuntime) -> None:
    """Another message of its actor keeps it from its turn, so a more suspicious one goes first after a while."""
    async with memory.node(SPEC) as system:
        for name in NAMES[:2]:
            await system.ref(name).tell(Wait())
        await inside(2)
        await system.ref(NAMES[0]).tell(Wait(), priority=1)
        image = memory.image()
    world.order.clear()
    assert isinstance(image, MemoryGround)
    async with limited(image, 2, 1).node(SPEC, runtime=clock) as system:
        await inside(1)
        assert world.order == NAMES[:1]
        await clock.advance(trial.LOOK_S)
        await inside(2)
        world.gate.set()
        await clock.run(system.idle())
        assert await clock.run(attempts(system, NAMES[:2])) == [[1, 1], [1]]


# -- deaths -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kills", [1, 2, FREE_DEATHS - 1])
async def test_kills_from_outside_charge_nobody_who_merely_waits(ground: Ground, kills: int) -> None:
    image = await first_life(ground)
    for _ in range(kills):
        before = len(world.order)
        async with image.node(SPEC):
            async with patience():
                while len(world.order) == before:
                    await asyncio.sleep(0)
            image = image.image()
    world.gate.set()
    async with image.node(SPEC) as system:
        await system.idle()
        assert await attempts(system) == [[1]] * 8
    assert not image.rows(AttemptRow)
    assert not image.rows(DeadLetterRow)


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "after it has waited"])
async def test_one_that_kills_the_process_by_its_code_is_found_at_once(ground: Ground, waits: bool) -> None:
    """It is seen running at the second death, and charged from the third on. The others are handled meanwhile."""
    image, lives = await until_parked(await burning(ground, waits))
    assert lives <= 1 + 1 + Waiter.max_attempts + 1
    (letter,) = image.rows(DeadLetterRow)
    assert (letter.address, letter.cause, letter.attempts) == (NAMES[4], "crash", Waiter.max_attempts)
    assert not image.rows(AttemptRow)
    async with image.node(SPEC) as system:
        await system.idle()
        others = [name for name in NAMES if name != NAMES[4]]
        assert await attempts(system, others) == [[1]] * 7


async def test_it_is_found_although_a_charge_for_a_hang_is_due(memory: MemoryGround) -> None:
    """The message that hung isn't on disk, because its sender hasn't committed. So it can't be charged yet."""
    image = await burning(memory, waits=False)
    assert isinstance(image, MemoryGround)
    notes = image.data.attempts
    notes.note(100, "f" * 32, NAMES[0])
    notes.hang(100, "a stack")
    image, lives = await until_parked(image)
    assert lives <= 1 + 2 + Waiter.max_attempts + 1
    assert [(letter.address, letter.cause) for letter in image.rows(DeadLetterRow)] == [(NAMES[4], "crash")]


async def burning(ground: Ground, waits: bool) -> Ground:
    """A life that died while seven messages waited, and an eighth took it down."""
    world.ground = ground
    async with ground.node(SPEC) as system:
        for name in NAMES:
            await system.ref(name).tell(Burn(waits=waits) if name == NAMES[4] else Wait())
        await inside(7)
        return ground.image()


async def until_parked(image: Ground) -> tuple[Ground, int]:
    """Live on until there is a dead letter; also the number of lives that took."""
    lives = 0
    while not image.rows(DeadLetterRow):
        lives += 1
        world.images.clear()
        world.ground = image
        if lives == 2:
            world.gate.set()
        async with image.node(SPEC) as system:
            async with patience():
                while not (world.images or system.kernel.caution is None):
                    await asyncio.sleep(0)
            if world.images:
                image = world.images[0]
            else:
                await system.idle()
        assert lives < 9
    return image, lives


async def test_a_charge_is_made_once_although_the_life_dies_after_it(memory: MemoryGround) -> None:
    image = await first_life(memory, NAMES[:1])
    assert isinstance(image, MemoryGround)
    (suspect,) = limited(image, 1).data.attempts.open()
    image.data.attempts.write_suspects([suspect._replace(verdict="crash")])
    async with image.node(SPEC):
        await inside(1)
        died = image.image()
    assert [row.count for row in died.rows(AttemptRow)] == [1]
    world.gate.set()
    async with died.node(SPEC) as system:
        await system.idle()
        assert await attempts(system, NAMES[:1]) == [[2]]


async def test_a_node_that_ends_while_suspects_wait(memory: MemoryGround) -> None:
    image = await first_life(memory)
    assert isinstance(image, MemoryGround)
    async with limited(image, 1).node(SPEC):
        await inside(1)
    world.gate.set()
    async with image.node(SPEC) as system:
        await patient(system.idle())
        assert await attempts(system) == [[1]] * 8


class Late(Waiter):
    """Its start fails, once a suspect waits."""

    able = True

    async def on_start(self) -> None:
        if not Late.able:
            async with patience():
                while not world.held:
                    await asyncio.sleep(0)
            raise RuntimeError


async def test_a_node_whose_start_fails_while_a_suspect_waits_looks_no_more(
    memory: MemoryGround, clock: VirtualRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold, look = trial.Trial.hold, trial.Trial._look
    looks = []
    monkeypatch.setattr(trial.Trial, "hold", lambda *held: (world.held.append(held), hold(*held)))
    monkeypatch.setattr(trial.Trial, "_look", lambda self: (looks.append(self), look(self)))
    monkeypatch.setattr(Late, "able", True)
    of = tree(as_spec(("a", Waiter), shutdown="brutal_kill"), ("late", Late))
    image = await first_life(memory, ["/t/a"], of)
    Late.able = False
    with pytest.raises(StartFailed):
        async with image.node(of, runtime=clock):
            pass
    assert world.held
    await clock.advance(10 * trial.LOOK_S)
    assert len(looks) == 1
