"""Random programs against their model: run through, crashed at any commit, on a store that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from grounds import MemoryGround
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from patience import patience
from random_programs import SPEC, Answer, Do, Expected, Traces, left_by, programs, tell

from greenroom import Event, StoreDataError, StoreError, StoreFull, StoreUnavailable
from greenroom.actors.delivery.keys import Keys
from greenroom.actors.mailbox.envelope import Ask
from greenroom.persistence.commit.queue import CommitQueue
from greenroom.persistence.store.rows import AttemptRow, MessageRow
from greenroom.testing import Recorder, VirtualRuntime


class Run:
    """One life of a node that is given a program."""

    def __init__(self, ground: MemoryGround, clock: VirtualRuntime) -> None:
        self.ground = ground
        self.clock = clock
        self.given: list[tuple[Do, Any]] = []
        """With the receipt of a tell, the task of an ask, or the error of a tell that was refused at once."""
        self.faults: dict[int, tuple[StoreError, bool]] = {}
        """By commit, from 1 after the boot: the error, and whether the commit lands all the same."""

    async def live(self, program: list[Do], pauses: list[int]) -> None:
        async with self.ground.node(SPEC, runtime=self.clock, on_event=unheard) as system:
            events = Recorder(system)
            for at, (error, landed) in self.faults.items():
                self.ground.plan.fail(error, at=at, landed=landed)
            for place, do in enumerate(program):
                try:
                    self.given.append((do, ask(system, do) if do.asked else tell(system, do)))
                except StoreError as error:
                    self.given.append((do, error))
                for _ in range(pauses[place % len(pauses)] if pauses else 0):
                    await self.clock.advance(0.002)
            await self.finish(system)
            assert system.kernel.gave_up is None
            assert all("HandlerTimeout" not in event.measures["error"] for event in events.of("message.failed"))

    async def finish(self, system: Any) -> None:
        await self.clock.run(system.idle())
        for _ in range(10):  # delays don't count for idle, and each level of the program may have one
            if not self.ground.rows(MessageRow):
                return
            await self.clock.advance(4.0)
            await self.clock.run(system.idle())

    def done(self) -> list[Do]:
        """The effects that the world has been told are done, or will be."""
        return [do for do, sign in self.given if is_promised(sign)]


def unheard(event: Event) -> None:
    """In place of the log, which would take most of the time."""


def ask(system: Any, do: Do) -> asyncio.Future[int]:
    task = asyncio.ensure_future(system.ref(do.to).ask(Answer(do=do), timeout_s=1e6))
    task.add_done_callback(lambda task: task.cancelled() or task.exception())  # seen
    return task


def is_promised(sign: Any) -> bool:
    if isinstance(sign, StoreError):
        return False
    if isinstance(sign, asyncio.Future):
        return sign.done() and not sign.cancelled() and sign.exception() is None
    return bool(sign.committed)


def nothing_waits(ground: MemoryGround) -> None:
    assert not ground.rows(MessageRow)
    assert not ground.rows(AttemptRow)


def check(real: Traces, program: list[Do], surely: list[Do], never: list[Do], *, exact: bool = True) -> None:
    """Each tree is there whole, or not at all; those of `surely` are, those of `never` aren't.

    Args:
        exact: what asks between actors led to is there at least as often as in a life without a crash; else once.
    """
    missing = Traces()
    missing.add(real)
    absent: list[int] = []
    for do in program:
        expected = Expected(do)
        roots = (*expected.told, *expected.asked, *expected.dead)
        if not any(name in counter for name in roots for counter in vars(real).values()) and roots:
            assert do not in surely, f"acknowledged and lost: {do}"
            absent.append(do.id)
            continue
        assert do not in never, f"refused and yet done: {do}"
        for what, counter in vars(expected).items():
            if what == "once":
                continue
            found = getattr(real, what)
            for name, count in counter.items():
                if name[1] in expected.once:
                    assert found[name] == 1, f"{what} {found[name]} times, not once: {name}"
                else:
                    least = count if exact else 1
                    assert found[name] >= least, f"{what} {found[name]} times, not {least}: {name}"
                del getattr(missing, what)[name]
    assert not any(vars(missing).values()), f"out of nowhere: {missing}"
    plain = [do.id for do in program if not (do.asked or do.key)]
    gone = [place for place, id in enumerate(plain) if id in absent]
    if gone and not never:
        assert gone == list(range(gone[0], len(plain))), "what one teller told is lost from the end on, and not amid"


# -- three ways to run a program ----------------------------------------------------------------------------


async def run_through(program: list[Do], pauses: list[int]) -> None:
    run = Run(MemoryGround(), VirtualRuntime())
    await run.live(program, pauses)
    model = Traces()
    for do in program:
        model.add(Expected(do))
    assert left_by(run.ground) == model
    assert run.done() == program
    nothing_waits(run.ground)


async def crash(program: list[Do], pauses: list[int], at: int, again: int) -> None:
    """Crash: the next life takes up the disk as it was committed at that moment. With `again`, that life
    is crashed as well."""
    clock = VirtualRuntime()
    images: list[MemoryGround] = []
    surely: list[Do] = []

    def crash_at(run: Run, commit_no: int) -> None:
        count = 0

        def hook(commit: Any) -> None:
            nonlocal count
            count += 1
            if count == commit_no:
                images.append(MemoryGround(run.ground.data.copy()))
                surely.extend(run.done())

        run.ground.plan.hook = hook

    first = Run(MemoryGround(), clock)
    crash_at(first, at)
    await first.live(program, pauses)
    if not images:
        return
    if again:
        second = Run(images[0], clock)
        crash_at(second, again)
        await second.live([], [])
        images[-1].plan.hook = None
    last = Run(images[-1], clock)
    last.ground.plan.hook = None
    await last.live([], [])
    # A death in a solo run counts as an attempt, in which the handler may not have come to its asks.
    check(left_by(last.ground), program, surely, [], exact=not again)
    nothing_waits(last.ground)


ERRORS: list[Callable[[], StoreError]] = [
    lambda: StoreFull("no space"),
    lambda: StoreUnavailable("lost"),
    lambda: StoreUnavailable("no answer", outcome="unknown"),
    lambda: StoreDataError("refused"),
]
UNKNOWN, REFUSED = 2, 3


async def fail(program: list[Do], pauses: list[int], faults: list[tuple[int, int, bool]]) -> None:
    """Commits fail, or land and nobody hears of it; the node goes on in the same life."""
    run = Run(MemoryGround(), VirtualRuntime())
    refused = False
    for at, kind, landed in faults:
        if kind == REFUSED:
            if refused:  # each may cost some message an attempt, and they have one to spare
                continue
            refused = True
        run.faults[at] = ERRORS[kind](), landed and kind == UNKNOWN
    await run.live(program, pauses)
    never: list[Do] = []
    for do, sign in run.given:
        error = sign
        if isinstance(sign, asyncio.Future):
            error = sign.exception()
        elif not isinstance(sign, StoreError):
            try:
                await sign
            except StoreError as raised:
                error = raised
                assert error.undelivered == do, "it hands the message back"  # type: ignore[attr-defined]
        if isinstance(error, StoreError) and getattr(error, "outcome", "") != "unknown" and not do.key:
            never.append(do)
    surely = run.done()
    check(left_by(run.ground), program, surely, never, exact=not refused)
    nothing_waits(run.ground)


# -- the tests ------------------------------------------------------------------------------------------------

PAUSES = st.lists(st.integers(0, 4), max_size=4)
PLACES = {"at": st.integers(1, 25), "again": st.integers(0, 6)}
FAULTS = st.lists(st.tuples(st.integers(1, 30), st.sampled_from(range(len(ERRORS))), st.booleans()), max_size=4)
WAYS: dict[str, tuple[Callable[..., Coroutine[Any, Any, None]], dict[str, Any]]] = {
    "through": (run_through, {}),
    "crash": (crash, PLACES),
    "fail": (fail, {"faults": FAULTS}),
}


def try_programs(way: str, **options: Any) -> None:
    """Run random programs in one way.

    Raises:
        AssertionError: one of them did what it must not.
    """
    run, strategies = WAYS[way]

    @settings(deadline=None, database=None, suppress_health_check=list(HealthCheck), **options)
    @given(program=programs(), pauses=PAUSES, **strategies)
    def attempt(**arguments: Any) -> None:
        async def limited() -> None:
            async with patience():
                await run(**arguments)

        asyncio.run(limited())

    attempt()


@pytest.mark.parametrize(("way", "examples"), [("through", 40), ("crash", 80), ("fail", 60)])
def test_any_program_does_what_the_model_says(way: str, examples: int) -> None:
    try_programs(way, max_examples=examples, derandomize=True)


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("way", WAYS)
def test_very_many_programs(way: str) -> None:
    try_programs(way, max_examples=3000, print_blob=True)


# -- the test of the test ---------------------------------------------------------------------------------------


def acknowledge_without_state(monkeypatch: pytest.MonkeyPatch) -> None:
    put = CommitQueue.put

    def bad(self: CommitQueue, entry: Any, size: int) -> int:
        if getattr(entry, "ack", 0):
            entry.actor = entry.state = None
        return put(self, entry, size)

    monkeypatch.setattr(CommitQueue, "put", bad)


def reply_before_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    def bad(self: Ask, result: Any, after: int, commits: Any) -> None:
        if not self.future.done():
            self.future.set_result((result, after))

    monkeypatch.setattr(Ask, "answer", bad)


def forget_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are looked up on disk alone, where those of this moment aren't yet."""

    def bad(self: Keys, envelope: Any) -> None:
        return None

    monkeypatch.setattr(Keys, "seen_lately", bad)


@pytest.mark.parametrize(
    ("plant", "way"),
    [(acknowledge_without_state, "through"), (reply_before_commit, "crash"), (forget_keys, "through")],
)
def test_a_planted_bug_is_found(monkeypatch: pytest.MonkeyPatch, plant: Any, way: str) -> None:
    plant(monkeypatch)
    with pytest.raises((AssertionError, ExceptionGroup)):
        try_programs(way, max_examples=1000, derandomize=True, phases=[Phase.generate], report_multiple_bugs=False)
