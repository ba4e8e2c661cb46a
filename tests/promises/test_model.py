"""Random programs of actors against a model of a dozen lines; and crashed at any commit.

A program is a tree of messages. Each one notes its id in the state of the actor that handles it, asks, fails some attempts, and
tells on. What the actors' states must be in the end doesn't depend on the schedule, so the model is plain recursion. The image
that a crash leaves at any commit must lead to what the model says of a prefix of the program.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grounds import MemoryGround, pool, tree
from understudy import Actor, AskFailed, Backoff, Message, Reject, Request, Retry, StoreError, handler
from understudy.actors.testing import VirtualRuntime
from understudy.persistence.errors import StoreDataError, StoreFull, StoreUnavailable
from understudy.persistence.record import ActorRow, AttemptRow, DeadLetterRow, KeyRow, MessageRow

ATTEMPTS = 3
ADDRESSES = ["/t/a", "/t/b", "/t/pool/x", "/t/pool/y", "/t/batch"]


class Do(Message):
    id: int
    to: str
    how: str = ""
    fail: int = 0
    """So many attempts fail."""
    asks: list[Do] = []
    tells: list[Do] = []
    delay_s: float = 0.0
    priority: int = 0
    key: bool = False
    end: str = ""
    """"stop": the incarnation ends after the turn."""


class Answer(Request[int]):
    do: Do


class Seen(msgspec.Struct):
    ids: list[int] = []
    asked: list[int] = []


class Doer(Actor[Seen]):
    backoff = Backoff(initial_s=0.01, factor=2.0, jitter=0.0)
    max_attempts = ATTEMPTS

    @handler
    async def do(self, message: Do) -> None:
        self.state.ids.append(message.id)
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
            except AskFailed:
                pass
        for told in do.tells:
            options: dict[str, Any] = {"key": str(told.id)} if told.key else {}
            for _ in range(2 if told.key else 1):
                self.system.ref(told.to).tell(
                    told, delay_s=told.delay_s or None, priority=told.priority, **options
                )
        if self.turn.attempt <= do.fail:
            match do.how:
                case "retry":
                    raise Retry(after_s=0.5)
                case "reject":
                    raise Reject
                case "state":
                    self.state.ids.append("no number")  # type: ignore[arg-type]
                case _:
                    raise RuntimeError(do.how)
        if do.end == "stop":
            self.stop()


class Batcher(Doer):
    @handler
    async def do(self, messages: list[Do]) -> None:  # type: ignore[override]
        for message in messages:
            self.state.ids.append(message.id)
            await self.carry_out(message)


SPEC = tree(("a", Doer), ("b", Doer), ("batch", Batcher), pool(Doer), intensity=10**6)


class Outcome:
    def __init__(self) -> None:
        self.ids: Counter[tuple[str, int]] = Counter()
        self.asked: Counter[tuple[str, int]] = Counter()
        self.dead: Counter[int] = Counter()


def run_model(program: list[Do]) -> Outcome:
    outcome = Outcome()

    def told(do: Do) -> None:
        dies = do.fail >= ATTEMPTS or (do.fail > 0 and do.how == "reject")
        attempts = 1 if do.how == "reject" and do.fail else min(do.fail + 1, ATTEMPTS)
        for _ in range(attempts):
            for asked in do.asks:
                answered(asked)
        if dies:
            outcome.dead[do.id] += 1
            return
        outcome.ids[do.to, do.id] += 1
        for other in do.tells:
            told(other)

    def answered(do: Do) -> None:
        for asked in do.asks:
            answered(asked)
        if do.fail:
            return
        outcome.asked[do.to, do.id] += 1
        for other in do.tells:
            told(other)

    for do in program:
        told(do)
    return outcome


# -- programs -------------------------------------------------------------------------------------------


@st.composite
def programs(draw: st.DrawFn, *, asks: bool = True) -> list[Do]:
    ids = iter(range(1, 10**6))

    def asked(above: str) -> list[str]:
        """Asks go down the alphabet alone, so that they can't close a circle. Batches aren't asked."""
        return [address for address in ADDRESSES[:4] if address > above]

    def make(depth: int, is_ask: bool, choices: list[str]) -> Do:
        to = draw(st.sampled_from(choices))
        own = next(ids)
        below: list[Do] = []
        if asks and depth < 3 and asked(to) and to != "/t/batch":
            below = [make(depth + 1, True, asked(to)) for _ in range(draw(st.integers(0, 1)))]
        told = [make(depth + 1, False, ADDRESSES) for _ in range(draw(st.integers(0, 2 if depth < 2 else 0)))]
        keyed = draw(st.booleans()) and draw(st.booleans()) and not is_ask
        batch = to == "/t/batch"
        return Do(
            id=own,
            to=to,
            fail=draw(st.sampled_from([0, 0, 0, 0, 1, 2, 3])) if not (batch and told) else 0,
            how=draw(st.sampled_from(["raise", "retry", "reject", "state"])) if not batch else "raise",
            asks=below,
            tells=told,
            delay_s=draw(st.sampled_from([0.0, 0.0, 0.0, 3.0])) if not is_ask else 0.0,
            priority=draw(st.sampled_from([0, 0, 0, 5, -5])),
            key=keyed,
            end=draw(st.sampled_from(["", "", "", "stop"])),
        )

    return [make(0, False, ADDRESSES) for _ in range(draw(st.integers(1, 6)))]


async def play(system: Any, clock: VirtualRuntime, program: list[Do], pauses: list[int]) -> list[Any]:
    """Tell it all from outside, with pauses; returns the receipts."""
    receipts: list[Any] = []
    for place, do in enumerate(program):
        try:
            receipts.append(system.ref(do.to).tell(do, delay_s=do.delay_s or None, priority=do.priority))
        except StoreError as error:
            receipts.append(error)
        for _ in range(pauses[place % len(pauses)] if pauses else 0):
            await clock.advance(0.002)
    return receipts


async def finish(system: Any, clock: VirtualRuntime) -> None:
    for _ in range(8):  # delays don't count for idle, and each level of the program may have one
        await clock.run(system.idle())
        await clock.advance(4.0)
    await clock.run(system.idle())


def found(ground: MemoryGround) -> Outcome:
    outcome = Outcome()
    for row in ground.rows(ActorRow):
        state = msgspec.json.decode(row.state)
        outcome.ids.update((row.address, id) for id in state["ids"])
        outcome.asked.update((row.address, id) for id in state["asked"])
    outcome.dead.update(msgspec.json.decode(row.body)["id"] for row in ground.rows(DeadLetterRow))
    return outcome


PAUSES = st.lists(st.integers(0, 4), max_size=4)
COMMON: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
    "print_blob": True,
}


@given(program=programs(), pauses=PAUSES)
@settings(max_examples=80, **COMMON)
async def test_any_program_does_what_the_model_says(program: list[Do], pauses: list[int]) -> None:
    ground, clock = MemoryGround(), VirtualRuntime()
    async with ground.node(SPEC, runtime=clock) as system:
        await play(system, clock, program, pauses)
        await finish(system, clock)
    model, real = run_model(program), found(ground)
    assert real.ids == model.ids
    assert real.asked == model.asked
    assert real.dead == model.dead
    assert not ground.rows(MessageRow)
    assert not ground.rows(AttemptRow)
    rows = {row.key for row in ground.rows(KeyRow)}
    assert {key for key in rows if (any_address(model, int(key)))} == rows


def any_address(model: Outcome, id: int) -> bool:
    return any(of == id for _, of in model.ids) or id in model.dead


@given(program=programs(), pauses=PAUSES, at=st.integers(1, 25), twice=st.integers(0, 6))
@settings(max_examples=120, **COMMON)
async def test_a_crash_at_any_commit_leaves_a_prefix(
    program: list[Do], pauses: list[int], at: int, twice: int
) -> None:
    """What was committed at that moment, run on, gives what the model says of the first tells, whole."""
    ground, clock = MemoryGround(), VirtualRuntime()
    images: list[MemoryGround] = []
    acked: list[int] = []
    receipts: list[Any] = []

    def crash(ground: MemoryGround, at: int) -> Any:
        count = 0

        def hook(commit: Any) -> None:
            nonlocal count
            count += 1
            if count == at:
                images.append(MemoryGround(ground.data.copy()))
                acked.append(sum(receipt.committed for receipt in receipts))

        return hook

    async with ground.node(SPEC, runtime=clock) as system:
        ground.plan.hook = crash(ground, at)
        for place, do in enumerate(program):
            receipts.append(system.ref(do.to).tell(do, delay_s=do.delay_s or None, priority=do.priority))
            for _ in range(pauses[place % len(pauses)] if pauses else 0):
                await clock.advance(0.002)
        await finish(system, clock)
    if not images:
        return
    image = images[0]
    if twice:  # and again, soon after the next boot
        image.plan.hook = crash(image, twice)
        receipts = []
        async with image.node(SPEC, runtime=clock) as system:
            await finish(system, clock)
        image = images[-1]
        image.plan.hook = None
    async with image.node(SPEC, runtime=clock) as system:
        await finish(system, clock)
    real = found(image)
    for length in range(acked[0], len(program) + 1):
        model = run_model(program[:length])
        asked_enough = all(real.asked[one] >= count for one, count in model.asked.items())
        if real.dead.keys() == model.dead.keys() and _same(real, model) and asked_enough:
            break
    else:
        pytest.fail(f"no prefix of at least {acked[0]} tells gives {real.ids} {real.asked} {real.dead}")
    assert not image.rows(MessageRow)
    assert not image.rows(AttemptRow)


def _same(real: Outcome, model: Outcome) -> bool:
    """Whatever no ask had a hand in must be there exactly once; an ask, and what it led to, is repeated with its turn."""
    return real.ids.keys() == model.ids.keys() and all(
        real.ids[one] >= count and (real.ids[one] == count or _after_asks(real, model))
        for one, count in model.ids.items()
    )


def _after_asks(real: Outcome, model: Outcome) -> bool:
    return bool(model.asked)


@given(program=programs(asks=False), pauses=PAUSES, at=st.integers(1, 25))
@settings(max_examples=80, **COMMON)
async def test_without_asks_everything_is_exactly_once(program: list[Do], pauses: list[int], at: int) -> None:
    ground, clock = MemoryGround(), VirtualRuntime()
    images: list[MemoryGround] = []
    count = 0

    def hook(commit: Any) -> None:
        nonlocal count
        count += 1
        if count == at:
            images.append(MemoryGround(ground.data.copy()))

    async with ground.node(SPEC, runtime=clock) as system:
        ground.plan.hook = hook
        await play(system, clock, program, pauses)
        await finish(system, clock)
    for image in images:
        async with image.node(SPEC, runtime=clock) as system:
            await finish(system, clock)
        real = found(image)
        models = [run_model(program[:length]) for length in range(len(program) + 1)]
        assert any((real.ids, real.dead) == (model.ids, model.dead) for model in models)


ERRORS = [
    StoreFull("no space"),
    StoreUnavailable("lost"),
    StoreUnavailable("no answer", outcome="unknown"),
    StoreDataError("refused"),
]


@given(
    program=programs(asks=False),
    pauses=PAUSES,
    faults=st.lists(
        st.tuples(st.integers(1, 30), st.sampled_from(range(len(ERRORS))), st.booleans()), max_size=4
    ),
)
@settings(max_examples=120, **COMMON)
async def test_store_faults_lose_nothing_acknowledged(
    program: list[Do], pauses: list[int], faults: list[tuple[int, int, bool]]
) -> None:
    """In one life: each refused tell says so, each acknowledged one is done, nothing is done twice."""
    ground, clock = MemoryGround(), VirtualRuntime()
    async with ground.node(SPEC, runtime=clock) as system:
        for at, kind, landed in faults:
            error = ERRORS[kind]
            ground.plan.fail(error, at=at, landed=landed and getattr(error, "outcome", "") == "unknown")
        receipts = await play(system, clock, program, pauses)
        await finish(system, clock)
        acked = []
        for do, receipt in zip(program, receipts, strict=True):
            if isinstance(receipt, StoreError):
                continue
            try:
                await clock.run(_wait(receipt))
            except (StoreFull, StoreUnavailable) as error:
                assert error.undelivered == do, "it hands the message back"
            else:
                acked.append(do)
        await finish(system, clock)
    model, real = run_model(acked), found(ground)
    refused = any(kind == 3 for _, kind, _ in faults)
    if refused:  # a refused turn is charged an attempt of its own: it may be parked earlier
        assert not real.ids - run_model(program).ids, "never twice"
        assert set(real.ids) | {(do, id) for do, id in model.ids} >= set(real.ids)
    else:
        assert (real.ids, real.dead) == (model.ids, model.dead)
    assert not ground.rows(MessageRow)


async def _wait(receipt: Any) -> None:
    await receipt
