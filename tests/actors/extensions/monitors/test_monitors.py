"""A monitor gives one Down: whatever way its target ends, and never a second one."""

from __future__ import annotations

import asyncio

import pytest
from grounds import Ground, MemoryGround, tree
from watch_actors import (
    Bind,
    Bindings,
    Crash,
    End,
    Mortal,
    T,
    Take,
    V,
    W,
    bind,
    diary,
    mortal,
    relations,
    seen,
    tell,
    trio,
)

from greenroom import (
    Actor,
    ActorRef,
    ChildSpec,
    ExitReason,
    StoreUnavailable,
    SupervisorSpec,
    TerminateChild,
    TurnClosed,
    UnhandledMessage,
    handler,
)
from greenroom.actors.extensions.monitors import changes as intents
from greenroom.actors.extensions.monitors.registry import Monitors
from greenroom.persistence.store.rows import DeadLetterRow, MessageRow
from greenroom.testing import VirtualRuntime


@pytest.fixture(autouse=True)
def gate() -> None:
    Mortal.gate = asyncio.Event()


WAYS = [
    ("error", "RuntimeError"),
    ("normal", "normal"),
    ("shutdown", "shutdown done"),
    ("custom", "error by hand"),
    ("retire", "normal"),
    ("transaction", "normal"),
]


@pytest.mark.parametrize("target_durable", [True, False], ids=["durable", "light"])
@pytest.mark.parametrize("durable", [True, False], ids=["by durable", "by light"])
@pytest.mark.parametrize(("how", "reason"), WAYS)
async def test_a_turn_that_ends_its_actor(
    memory: Ground, how: str, reason: str, durable: bool, target_durable: bool
) -> None:
    async with memory.node(trio(durable, durable=target_durable)) as system:
        await bind(system, W, T)
        await bind(system, V, T)
        assert await seen(system, W) == []
        await tell(system, T, End(how=how))
        assert await seen(system, W) == [(T, reason)]
        assert await seen(system, V) == [(T, reason)]
        if how != "retire":
            await tell(system, T, End(how=how))
        assert await seen(system, W) == [(T, reason)], "one monitor, one Down"
    assert not relations(memory)


@pytest.mark.parametrize("how", [how for how, _ in WAYS])
async def test_on_disk_too(disk: Ground, how: str) -> None:
    async with disk.node(trio()) as system:
        await bind(system, W, T)
        assert relations(disk) == [(W, T, "monitor")]
        await tell(system, T, End(how=how))
        assert len(await seen(system, W)) == 1
    assert not relations(disk)
    assert not disk.rows(MessageRow)


async def test_an_ask_that_fails(ground: Ground) -> None:
    async with ground.node(trio()) as system:
        await bind(system, W, T)
        with pytest.raises(Exception, match="boom"):
            await system.ref(T).ask(Crash())
        assert await seen(system, W) == [(T, "RuntimeError")]
    assert not relations(ground)


@pytest.mark.parametrize(("how", "reason"), [("wait", "HandlerTimeout"), ("swallow", "HandlerTimeout")])
async def test_a_handler_that_takes_too_long(clock: VirtualRuntime, memory: Ground, how: str, reason: str) -> None:
    async with memory.node(trio(handler_timeout_s=1.0, max_attempts=1), runtime=clock) as system:
        await clock.run(bind(system, W, T))
        await system.ref(T).tell(End(how=how))
        await clock.advance(5.0)
        ((address, found),) = await clock.run(seen(system, W))
        assert (address, found.rpartition(".")[2]) == (T, reason)
        Mortal.gate.set()
        await clock.settle()


async def test_a_child_that_is_terminated(ground: Ground) -> None:
    async with ground.node(trio()) as system:
        await bind(system, W, T)
        await system.ref("/t").ask(TerminateChild(id="target"))
        assert await seen(system, W) == [(T, "shutdown")]
        await bind(system, W, T)
        assert await seen(system, W) == [(T, "shutdown"), (T, "NoProcess")]


async def test_one_that_is_killed(clock: VirtualRuntime, memory: Ground) -> None:
    async with memory.node(trio(shutdown="brutal_kill"), runtime=clock) as system:
        await clock.run(bind(system, W, T))
        await system.ref(T).tell(End(how="wait"))
        await clock.settle()
        await clock.run(system.ref("/t").ask(TerminateChild(id="target")))
        assert await clock.run(seen(system, W)) == [(T, "killed")]


async def test_a_restart_of_the_group(ground: Ground) -> None:
    spec = tree(
        mortal("watcher"),
        SupervisorSpec(id="pair", strategy="one_for_all", children=[mortal("one"), mortal("two")]),
    )
    async with ground.node(spec) as system:
        await bind(system, W, "/t/pair/one", "/t/pair/two", "/t/pair")
        await tell(system, "/t/pair/one", End())
        assert await seen(system, W) == [("/t/pair/one", "RuntimeError"), ("/t/pair/two", "shutdown")]


async def test_a_supervisor_that_gives_up_takes_its_children_along(ground: Ground) -> None:
    spec = tree(
        mortal("watcher"),
        SupervisorSpec(id="sup", intensity=0, children=[mortal("one"), mortal("two")]),
    )
    async with ground.node(spec) as system:
        await bind(system, W, "/t/sup/one", "/t/sup/two", "/t/sup")
        await tell(system, "/t/sup/one", End())
        found = dict(await seen(system, W))
        assert set(found) == {"/t/sup/one", "/t/sup/two", "/t/sup"}
        assert found["/t/sup/two"] == "shutdown"


async def test_several_monitors_give_several_downs(ground: Ground) -> None:
    async with ground.node(trio()) as system:
        await bind(system, W, T, T, T)
        ids = await system.ref(W).ask(Bindings())
        assert len(set(ids)) == 3
        await tell(system, T, End())
        assert len(await seen(system, W)) == 3
    assert sorted(diary(ground, W).heard) == sorted(ids), "each names its monitor"


@pytest.mark.parametrize("durable", [True, False])
async def test_a_monitor_that_is_taken_off(ground: Ground, durable: bool) -> None:
    async with ground.node(trio(durable)) as system:
        await bind(system, W, T, T)
        one, two = await system.ref(W).ask(Bindings())
        await tell(system, W, Take(ids=[one, one, "nothing"]))
        await bind(system, W, T, how="demonitor")
        await tell(system, T, End())
        assert await seen(system, W) == [(T, "RuntimeError")]
        await tell(system, W, Take(ids=[two]))
    assert not relations(ground)


async def test_nobody_takes_off_anothers_monitor(ground: Ground) -> None:
    async with ground.node(trio()) as system:
        await bind(system, W, T)
        ids = await system.ref(W).ask(Bindings())
        await tell(system, V, Take(ids=ids))
        await tell(system, T, End())
        assert await seen(system, W) == [(T, "RuntimeError")]


@pytest.mark.parametrize("durable", [True, False])
async def test_a_turn_that_fails_monitors_nobody(ground: Ground, durable: bool) -> None:
    async with ground.node(trio(durable)) as system:
        await bind(system, W, T, "/t/nobody", then="fail")
        await tell(system, T, End())
        assert await seen(system, W) == []
        assert not system.kernel.part(Monitors).bound
    assert not relations(ground)


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("address", ["/t/nobody", "/t/target/below", "/nowhere", "/t/stopped"])
async def test_at_once_for_the_dead(ground: Ground, address: str, durable: bool) -> None:
    spec = tree(mortal("watcher", durable=durable), mortal("stopped", restart="transient"))
    async with ground.node(spec) as system:
        await tell(system, "/t/stopped", End(how="normal"))
        await bind(system, W, address)
        assert await seen(system, W) == [(address, "NoProcess")]
        assert not system.kernel.part(Monitors).bound
    assert not relations(ground)


class Early(Mortal):
    async def on_start(self) -> None:
        self.monitor(self.system.ref("/t/late"))
        self.monitor(self.system.ref("/t/early"))


async def test_in_on_start(ground: Ground) -> None:
    """A target that stands behind it in the tree doesn't run yet."""
    async with ground.node(tree(mortal("early"), mortal("watcher", Early), mortal("late"))) as system:
        assert await seen(system, W) == [("/t/late", "NoProcess")]
        await tell(system, "/t/early", End())
        assert await seen(system, W) == [("/t/late", "NoProcess"), ("/t/early", "RuntimeError")]


@pytest.mark.parametrize("durable", [True, False])
async def test_an_exit_while_the_turn_still_runs(ground: Ground, durable: bool) -> None:
    """It monitors, then asks, and the asked one fails: the true reason, not that it didn't run."""
    async with ground.node(trio(durable)) as system:
        await bind(system, W, T, then=T)
        assert await seen(system, W) == [(T, "RuntimeError")]
        assert not system.kernel.part(Monitors).bound
    assert not relations(ground)


async def test_a_fresh_message_of_a_failed_turn_monitors_again(ground: Ground) -> None:
    """The ids of a turn that is run again are the same."""
    async with ground.node(trio()) as system:
        ground.plan.fail(StoreUnavailable("cable pulled"))
        with pytest.raises(StoreUnavailable):
            await system.ref(W).tell(Bind(to=[T]))
        await system.idle()
        await bind(system, W, T)
        await tell(system, T, End())
        assert await seen(system, W) == [(T, "RuntimeError")]


# -- the mailbox ---------------------------------------------------------------------------------------------------


async def test_no_capacity_limits_downs(clock: VirtualRuntime, memory: Ground) -> None:
    targets = [f"/t/n{number}" for number in range(5)]
    spec = tree(
        *(mortal(address[3:]) for address in targets),
        mortal("watcher", capacity=1, overflow="reject"),
        intensity=100,
    )
    async with memory.node(spec, runtime=clock) as system:
        await clock.run(bind(system, W, *targets))
        await system.ref(W).tell(End(how="wait"))
        await clock.settle()
        for address in targets:
            await system.ref(address).tell(End())
        await clock.settle()
        assert system.kernel.cells[W].mailbox.count == 5
        assert all(system.kernel.cells[address].status == "up" for address in targets), "nobody is held back"
        Mortal.gate.set()
        assert len(await clock.run(seen(system, W))) == 5


async def test_what_it_told_comes_before_its_down(memory: Ground) -> None:
    """By their numbers: in the next life, too."""
    async with memory.node(tree(mortal("target", Last), mortal("watcher"))) as system:
        await bind(system, W, T)
        await system.ref(W).tell(End(how="wait"))
        await system.ref(T).tell(Take(ids=[]))
        await system.kernel.commits.flush()
        rows = [row.type for row in sorted(memory.rows(MessageRow)) if row.address == W]
        assert rows == ["End", "Take", "Down"]
        mailbox = system.kernel.cells[W].mailbox
        while mailbox.count < 2:  # the Down comes once the exit has heard of its commit
            await asyncio.sleep(0)
        assert [getattr(entry, "tag", "") for entry in mailbox.entries()] == ["Take", "Down"]
        Mortal.gate.set()


class Last(Mortal):
    @handler
    def take(self, message: Take) -> None:
        self.stop()
        self.system.ref(W).tell(Take(ids=[]))


# -- mistakes ----------------------------------------------------------------------------------------------------------


class Confused(Actor[None]):
    found: list[BaseException]
    other: ActorRef

    @handler
    def bind(self, message: Bind) -> None:
        for attempt in (
            lambda: self.monitor(self.ref),
            lambda: self.link(self.ref),
            lambda: self.monitor("/t/target"),  # type: ignore[arg-type]
            lambda: self.link(None),  # type: ignore[arg-type]
            lambda: self.demonitor(3),  # type: ignore[arg-type]
            lambda: self.monitor(Confused.other),
            lambda: self.monitor(self.system.ref(T)),
        ):
            try:
                attempt()
            except Exception as error:
                Confused.found.append(error)


async def test_mistakes(memory: Ground) -> None:
    Confused.found = []
    spec = tree(mortal("target"), mortal("watcher", Confused))
    async with memory.node(spec) as system, MemoryGround().node(trio()) as elsewhere:
        Confused.other = elsewhere.ref(T)
        await bind(system, W)
        assert not system.kernel.part(Monitors).bound
    kinds = [type(error) for error in Confused.found]
    assert kinds == [ValueError, ValueError, TypeError, TypeError, TypeError, ValueError, UnhandledMessage]
    assert "an actor can't monitor itself" in str(Confused.found[0])
    assert 'such as system.ref("/bank/ledger")' in str(Confused.found[2])


class Late(Mortal):
    kept: Late

    @handler
    def take(self, message: Take) -> None:
        Late.kept = self


async def test_outside_a_turn(memory: Ground) -> None:
    async with memory.node(tree(mortal("target"), mortal("watcher", Late))) as system:
        await tell(system, W, Take(ids=[]))
        for function in (Late.kept.monitor, Late.kept.link, Late.kept.unlink):
            with pytest.raises(TurnClosed):
                function(system.ref(T))
        with pytest.raises(TurnClosed):
            Late.kept.demonitor("x")


async def test_the_limit(memory: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intents, "RELATIONS_MAX", 3)
    async with memory.node(trio()) as system:
        await bind(system, W, T, T)
        await bind(system, W, T, T)
        assert len(relations(memory)) == 2
    (letter,) = memory.rows(DeadLetterRow)
    assert letter.error.endswith("TooManyMonitors")


async def test_reasons_are_checked(memory: Ground) -> None:
    async with memory.node(tree(ChildSpec(id="target", actor=BadReason, max_attempts=1))) as system:
        await tell(system, T, End(how="text"))
        await tell(system, T, End(how="surrogate"))
        assert not system.kernel.part(Monitors).bound
    (letter,) = memory.rows(DeadLetterRow)
    assert "is no reason to exit" in letter.text


class BadReason(Actor[None]):
    @handler
    def end(self, message: End) -> None:
        if message.how == "text":
            self.stop("bye")  # type: ignore[arg-type]
        else:
            self.stop(ExitReason("error", text="\ud800" + "x" * 100_000))
