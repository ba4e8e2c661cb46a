"""Linked actors end together, or are told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grounds import Ground, tree
from watch_actors import (
    Bind,
    End,
    Life,
    Lingering,
    Mortal,
    Take,
    Trapper,
    bind,
    exits,
    mortal,
    relations,
    seen,
    tell,
    three,
)

from greenroom import Actor, SupervisorSpec, TerminateChild, handler
from greenroom.actors.extensions.monitors.registry import Monitors
from greenroom.persistence.store.rows import AttemptRow, DeadLetterRow, MessageRow
from greenroom.testing import Recorder, VirtualRuntime

A, B, C = "/t/a", "/t/b", "/t/c"


@pytest.fixture(autouse=True)
def gate() -> None:
    Mortal.gate = asyncio.Event()


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("who", [A, B])
async def test_a_crash_takes_the_other_end_along(ground: Ground, who: str, durable: bool) -> None:
    async with ground.node(three(durable=durable)) as system:
        await bind(system, A, B, how="link")
        assert relations(ground) == ([(A, B, "link")] if durable else [])
        events = Recorder(system)
        await tell(system, who, End())
        other = B if who == A else A
        assert exits(events)[0] == (who, "error", "boom")
        # Its second attempt may come first: another actor's signal has no place in the order of its own.
        assert [exit for exit in exits(events) if exit[0] == other] == [(other, "error", "boom")], "the same reason"
        assert not system.kernel.part(Monitors).bound, "the link is gone on both sides"
        assert {system.kernel.cells[address].status for address in (A, B)} == {"up"}, "their supervisor restarts both"
        events.events.clear()
        await tell(system, who, End())
        assert len(exits(events)) == 2, "its second attempt, and the new message: nobody else"
        assert {address for address, _, _ in exits(events)} == {who}
    assert not relations(ground)
    assert not ground.rows(MessageRow)


@pytest.mark.parametrize("how", ["normal", "retire", "shutdown", "custom"])
async def test_a_normal_exit_takes_nobody_along(ground: Ground, how: str) -> None:
    async with ground.node(three()) as system:
        await bind(system, A, B, how="link")
        events = Recorder(system)
        await tell(system, A, End(how=how))
        concerned = {address for address, _, _ in exits(events)}
        assert concerned == ({A} if how in ("normal", "retire") else {A, B})
        assert not system.kernel.part(Monitors).bound
    assert not relations(ground)


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize(
    ("how", "text"),
    [("error", "RuntimeError"), ("normal", "normal"), ("retire", "normal"), ("shutdown", "shutdown done")],
)
async def test_who_traps_exits_is_told(ground: Ground, how: str, text: str, durable: bool) -> None:
    async with ground.node(three(Mortal, Trapper, durable=durable)) as system:
        await bind(system, A, B, how="link")
        events = Recorder(system)
        await tell(system, A, End(how=how))
        assert await seen(system, B) == [(A, text)]
        assert {address for address, _, _ in exits(events)} == {A}
        if how != "retire":
            await tell(system, A, End(how=how))
        assert await seen(system, B) == [(A, text)], "a link carries one signal"
    assert not relations(ground)


async def test_the_option_can_be_overridden(memory: Ground) -> None:
    """As a child spec does it."""

    class Plain(Trapper):
        name = "plain"
        trap_exits = False

    assert Plain.__definition__.options.replaced(trap_exits=True).trap_exits
    with pytest.raises(TypeError, match="write True or False"):
        Plain.__definition__.options.replaced(trap_exits=1)


async def test_a_kill_can_be_trapped_at_the_other_end(clock: VirtualRuntime, memory: Ground) -> None:
    spec = tree(mortal("a", shutdown="brutal_kill"), mortal("b", Trapper), mortal("c"))
    async with memory.node(spec, runtime=clock) as system:
        await clock.run(bind(system, A, B, C, how="link"))
        events = Recorder(system)
        await system.ref(A).tell(End(how="wait"))
        await clock.settle()
        await clock.run(system.ref("/t").ask(TerminateChild(id="a")))
        assert await clock.run(seen(system, B)) == [(A, "killed killed by a link")]
        assert exits(events) == [(C, "killed", "killed by a link")]


@pytest.mark.parametrize("durable", [True, False])
async def test_a_chain_and_a_circle(ground: Ground, durable: bool) -> None:
    names = [f"n{number}" for number in range(30)]
    spec = tree(*(mortal(name, durable=durable) for name in names), intensity=1000)
    async with ground.node(spec) as system:
        for number, name in enumerate(names):
            await bind(system, f"/t/{name}", f"/t/{names[(number + 1) % len(names)]}", how="link")
        events = Recorder(system)
        await tell(system, "/t/n7", End(how="custom"))
        found = [address for address, _, _ in exits(events)]
        assert sorted(found) == sorted(f"/t/{name}" for name in names), "each of them once"
        assert not system.kernel.part(Monitors).bound
    assert not relations(ground)


async def test_linking_twice_is_one_link(ground: Ground) -> None:
    async with ground.node(three(Mortal, Trapper)) as system:
        await bind(system, A, B, B, how="link")
        await bind(system, B, A, how="link")
        assert len(relations(ground)) == 1
        await tell(system, A, End(how="custom"))
        assert len(await seen(system, B)) == 1


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("who", [A, B])
async def test_unlink(ground: Ground, who: str, durable: bool) -> None:
    async with ground.node(three(durable=durable)) as system:
        await bind(system, A, B, how="link")
        await bind(system, who, B if who == A else A, how="unlink")
        assert not system.kernel.part(Monitors).bound
        events = Recorder(system)
        await tell(system, A, End(how="custom"))
        assert {address for address, _, _ in exits(events)} == {A}
    assert not relations(ground)


class Fickle(Mortal):
    @handler
    def take(self, message: Take) -> None:
        other = self.system.ref(message.ids[-1])
        for step in message.ids[:-1]:
            (self.link if step == "link" else self.unlink)(other)


@pytest.mark.parametrize(
    ("steps", "linked"),
    [
        (["link", "unlink"], False),
        (["unlink", "link"], True),
        (["link", "unlink", "link"], True),
        (["unlink"], False),
    ],
)
async def test_the_last_word_of_a_turn_counts(ground: Ground, steps: list[str], linked: bool) -> None:
    async with ground.node(three(Fickle)) as system:
        for _ in range(2):  # from unlinked, and from what that left
            await tell(system, A, Take(ids=[*steps, B]))
            assert len(relations(ground)) == linked
            assert bool(system.kernel.part(Monitors).bound) is linked


async def test_a_turn_that_fails_links_nobody(ground: Ground) -> None:
    async with ground.node(three()) as system:
        await bind(system, A, B, how="link", then="fail")
        assert not system.kernel.part(Monitors).bound
        events = Recorder(system)
        await tell(system, B, End(how="custom"))
        assert {address for address, _, _ in exits(events)} == {B}


async def test_a_link_in_the_turn_that_ends_it(ground: Ground) -> None:
    async with ground.node(three(Mortal, Trapper)) as system:
        await bind(system, A, B, how="link", then="stop")
        assert await seen(system, B) == [(A, "error enough")]
        assert not system.kernel.part(Monitors).bound
    assert not relations(ground)


# -- linking to the dead -------------------------------------------------------------------------------------


async def test_linking_to_the_dead_is_an_exit(ground: Ground) -> None:
    async with ground.node(three()) as system:
        events = Recorder(system)
        await bind(system, A, "/t/nobody", how="link")
        ((address, kind, text),) = exits(events)
        assert (address, kind) == (A, "error")
        assert "there is no /t/nobody" in text
        assert not system.kernel.part(Monitors).bound
        assert system.kernel.cells[A].status == "up"
    assert not ground.rows(MessageRow), "the turn itself was well"
    assert not ground.rows(AttemptRow)


@pytest.mark.parametrize("durable", [True, False])
async def test_or_a_message(ground: Ground, durable: bool) -> None:
    async with ground.node(three(Trapper, durable=durable)) as system:
        await bind(system, A, "/t/nobody", how="link")
        assert await seen(system, A) == [("/t/nobody", "NoProcess")]


@pytest.mark.parametrize("kind", [Mortal, Trapper])
async def test_an_exit_while_the_turn_still_runs(ground: Ground, kind: type[Actor[Any]]) -> None:
    async with ground.node(three(kind)) as system:
        events = Recorder(system)
        await bind(system, A, B, how="link", then=B)
        await system.idle()
        if kind is Trapper:
            assert await seen(system, A) == [(B, "RuntimeError")]
        else:
            assert exits(events) == [(B, "error", "boom"), (A, "error", "boom")]
        assert not system.kernel.part(Monitors).bound


async def test_supervisor_and_child_are_bound_already(memory: Ground) -> None:
    async with memory.node(three()) as system:
        await bind(system, A, "/t", how="link")
        assert not system.kernel.part(Monitors).bound


# -- the turn that runs meanwhile ----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["wait", "swallow"])
async def test_the_running_turn_is_cut_off_uncharged(clock: VirtualRuntime, memory: Ground, how: str) -> None:
    """Its message is handled again; one that swallows its cancellation is abandoned."""
    async with memory.node(three(), runtime=clock) as system:
        await clock.run(bind(system, A, B, how="link"))
        events = Recorder(system)
        await system.ref(B).tell(End(how=how))
        await clock.settle()
        await system.ref(A).tell(End(how="custom"))
        await clock.advance(3.0)
        assert [(address, text) for address, _, text in exits(events)] == [(A, "by hand"), (B, "by hand")]
        assert bool(events.of("actor.abandoned", B)) is (how == "swallow")
        assert not events.of("message.failed")
        Mortal.gate.set()
        await clock.run(system.idle())
    assert not memory.rows(AttemptRow)
    assert not memory.rows(DeadLetterRow)
    assert not memory.rows(MessageRow)


async def test_its_supervisor_stops_it_meanwhile(clock: VirtualRuntime, memory: Ground) -> None:
    """While its handler is still being cut off. It has got its reason from the link already."""
    spec = tree(mortal("a"), mortal("b", shutdown=0.1), mortal("c"), intensity=100)
    async with memory.node(spec, runtime=clock) as system:
        await clock.run(bind(system, A, B, how="link"))
        await clock.run(bind(system, C, B))
        events = Recorder(system)
        await system.ref(B).tell(End(how="swallow"))
        await clock.settle()
        await system.ref(A).tell(End(how="custom"))
        await clock.settle()
        await clock.run(system.ref("/t").ask(TerminateChild(id="b")))
        await clock.advance(3.0)
        assert await clock.run(seen(system, C)) == [(B, "error by hand")]
        assert system.kernel.cells[B].status == "stopped"
        assert exits(events) == [(A, "error", "by hand"), (B, "error", "by hand")]
        Mortal.gate.set()
        await clock.run(system.idle())


async def test_an_incarnation_exits_once(clock: VirtualRuntime, memory: Ground) -> None:
    """Its links strike while it is on its way out already."""
    spec = tree(mortal("a"), mortal("b", Lingering), mortal("c"), intensity=100)
    async with memory.node(spec, runtime=clock) as system:
        await clock.run(bind(system, A, B, how="link"))
        await clock.run(bind(system, C, B, how="link"))
        events = Recorder(system)
        await system.ref(B).tell(End(how="shutdown"))
        await clock.settle()
        assert exits(events) == []
        for who in (A, C):
            await system.ref(who).tell(End(how="custom"))
        await clock.settle()
        Mortal.gate.set()
        await clock.run(system.idle())
        assert sorted(address for address, _, _ in exits(events)) == [A, B, C]
        assert not system.kernel.part(Monitors).bound
        assert all(system.kernel.cells[address].status == "up" for address in (A, B, C))


async def test_the_other_end_was_restarted_before_the_signal(clock: VirtualRuntime, memory: Ground) -> None:
    """A signal is for the incarnation that was linked, not for the next one."""
    spec = tree(mortal("a", Lingering), mortal("b"), intensity=100)
    async with memory.node(spec, runtime=clock) as system:
        await clock.run(bind(system, A, B, how="link"))
        await system.ref(A).tell(End(how="custom"))  # decided; on_stop takes its time
        await clock.settle()
        await clock.run(system.ref(B).ask(Life()))
        await system.ref(B).tell(End(how="shutdown"))
        await clock.advance(0.1)
        life = await clock.run(system.ref(B).ask(Life()))
        Mortal.gate.set()
        await clock.run(system.idle())
        assert await clock.run(system.ref(B).ask(Life())) == life


async def test_a_group_that_is_restarted_together(ground: Ground) -> None:
    """The strategy and the link want the same: nobody ends twice."""
    spec = tree(*(mortal(name) for name in "abc"), strategy="one_for_all", intensity=10)
    async with ground.node(spec) as system:
        await bind(system, A, B, how="link")
        await bind(system, B, C, how="link")
        before = [await system.ref(address).ask(Life()) for address in (A, B, C)]
        await tell(system, A, End(how="custom"))
        after = [await system.ref(address).ask(Life()) for address in (A, B, C)]
        assert all(new > old for new, old in zip(after, before, strict=True))
        assert max(after) <= max(before) + 6, "no storm of restarts"
        assert not system.kernel.part(Monitors).bound
        await tell(system, B, End(how="normal"))
        assert [system.kernel.cells[address].status for address in (A, B, C)] == ["up", "up", "up"]


async def test_a_stop_by_the_supervisor_is_an_exit_to_the_linked(ground: Ground) -> None:
    spec = tree(
        mortal("a", Trapper),
        SupervisorSpec(id="sup", strategy="one_for_all", intensity=10, children=[mortal("x"), mortal("y")]),
    )
    async with ground.node(spec) as system:
        await bind(system, A, "/t/sup/y", how="link")
        await tell(system, "/t/sup/x", End(how="custom"))
        assert await seen(system, A) == [("/t/sup/y", "shutdown")]


class SlowStart(Mortal):
    async def on_start(self) -> None:
        await Mortal.gate.wait()


async def test_a_signal_for_one_that_is_starting(clock: VirtualRuntime, memory: Ground) -> None:
    """It comes up first: a start that fails could take the tree down."""
    Mortal.gate.set()
    async with memory.node(three(Mortal, SlowStart), runtime=clock) as system:
        Mortal.gate.clear()
        await system.ref(B).tell(End(how="shutdown"))
        await clock.settle()
        assert system.kernel.cells[B].status == "starting"
        await system.ref(A).tell(Bind(to=[B], how="link"))
        await clock.settle()
        assert relations(memory) == [(A, B, "link")]
        events = Recorder(system)
        await system.ref(A).tell(End(how="custom"))
        await clock.settle()
        assert exits(events) == [(A, "error", "by hand")]
        Mortal.gate.set()
        await clock.run(system.idle())
        assert exits(events) == [(A, "error", "by hand"), (B, "error", "by hand")]
        assert not events.of("actor.start_failed")
        assert system.kernel.cells[B].status == "up"
