"""Monitors outlive what they are to outlive: passivation, restarts, crashes, a broken store."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grounds import Ground, MemoryGround, pool, tree
from patience import patient
from watch_actors import (
    Bind,
    Bindings,
    End,
    Lingering,
    Mortal,
    Seen,
    Sleeper,
    T,
    Take,
    V,
    W,
    bind,
    mortal,
    relations,
    seen,
    tell,
    trio,
)

from greenroom import Actor, Settings, StartChild, StoreUnavailable, TerminateChild
from greenroom.actors.extensions.monitors.registry import Monitors
from greenroom.persistence.store.rows import MessageRow, MonitorRow
from greenroom.supervision.offline import edit as offline
from greenroom.testing import Recorder, VirtualRuntime


@pytest.fixture(autouse=True)
def gate() -> None:
    Mortal.gate = asyncio.Event()


# -- actors that are not in memory -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Mortal, Sleeper])
async def test_passive_is_alive_and_passivation_is_no_exit(
    clock: VirtualRuntime, memory: Ground, kind: type[Actor[Any]]
) -> None:
    spec = tree(mortal("watcher"), pool(mortal("template", kind, idle_timeout_s=1.0)))
    target = "/t/pool/a"
    async with memory.node(spec, runtime=clock) as system:
        events = Recorder(system)
        await clock.run(bind(system, W, target))
        assert await clock.run(system.ref(target).ask(Seen())) == []
        await clock.advance(10.0)
        assert events.of("actor.passivated", target)
        assert await clock.run(seen(system, W)) == []
        await clock.run(tell(system, target, End()))
        assert await clock.run(seen(system, W)) == [(target, "RuntimeError")]


async def test_a_passive_watcher_comes_back_for_its_down(clock: VirtualRuntime, memory: Ground) -> None:
    spec = tree(mortal("target"), pool(mortal("template", Sleeper, idle_timeout_s=1.0)))
    async with memory.node(spec, runtime=clock) as system:
        await clock.run(bind(system, "/t/pool/w", T))
        await clock.advance(10.0)
        assert "/t/pool/w" not in system.kernel.cells
        await clock.run(tell(system, T, End()))
        assert await clock.run(seen(system, "/t/pool/w")) == [(T, "RuntimeError")]


async def test_one_that_retires_and_one_that_takes_its_address(ground: Ground) -> None:
    target = "/t/pool/a"
    async with ground.node(tree(mortal("watcher"), pool(Mortal))) as system:
        await bind(system, W, target)
        await tell(system, target, End(how="retire"))
        assert await seen(system, W) == [(target, "normal")]
        await tell(system, target, End())
        assert await seen(system, W) == [(target, "normal")]


# -- whose monitors they are ---------------------------------------------------------------------------------


async def test_a_durable_watcher_keeps_its_monitors(ground: Ground) -> None:
    """Over its own restart, and over the end of the node."""
    async with ground.node(trio()) as system:
        await bind(system, W, T)
        await tell(system, W, End())
    assert relations(ground) == [(W, T, "monitor")], "the end of a node is no exit"
    async with ground.node(trio()) as system:
        await tell(system, T, End())
        assert await seen(system, W) == [(T, "RuntimeError")]
    assert not relations(ground)


async def test_a_durable_watcher_of_one_without_rows(ground: Ground) -> None:
    async with ground.node(trio()) as system:
        await bind(system, W, "/t/other")
    spec = tree(mortal("other", durable=False), mortal("watcher"))
    async with ground.node(spec) as system:
        await tell(system, "/t/other", End())
        assert await seen(system, W) == [("/t/other", "RuntimeError")]


async def test_a_light_watcher_loses_its_monitors_with_its_incarnation(ground: Ground) -> None:
    async with ground.node(trio(by=False)) as system:
        await bind(system, W, T)
        assert not relations(ground)
        await tell(system, W, End())
        assert not system.kernel.part(Monitors).bound
        await tell(system, T, End())
        assert await seen(system, W) == []


async def test_retire_takes_the_monitors_along(ground: Ground) -> None:
    async with ground.node(trio()) as system:
        await bind(system, W, T, "/t/other")
        await bind(system, V, T)
        await bind(system, W, "/t/other", "/t/nobody", then="retire")
        assert relations(ground) == [(V, T, "monitor")]
        await tell(system, T, End())
    assert not ground.rows(MessageRow)
    assert not relations(ground)


async def test_stop_and_monitor_in_one_turn(ground: Ground) -> None:
    async with ground.node(trio()) as system:
        await bind(system, W, T, then="stop")
        await tell(system, T, End())
        assert await seen(system, W) == [(T, "RuntimeError")]


@pytest.mark.parametrize("how", ["normal", "error"])
@pytest.mark.parametrize("durable", [True, False])
async def test_a_down_arrives_when_the_incarnation_is_over(ground: Ground, durable: bool, how: str) -> None:
    """Its row is there with the commit that ends it."""
    reason = "RuntimeError" if how == "error" else how
    spec = tree(mortal("target", Lingering), mortal("watcher", durable=durable))
    async with ground.node(spec) as system:
        await bind(system, W, T)
        await system.ref(T).tell(End(how=how))
        await system.ref(W).ask(Seen())
        await system.kernel.commits.flush()
        rows = [row for row in ground.rows(MessageRow) if row.type == "Down"]
        assert len(rows) == (1 if durable else 0)
        assert await system.ref(W).ask(Seen()) == [], "on_stop is still at it"
        image = ground.image()
        Mortal.gate.set()
        assert await seen(system, W) == [(T, reason)]
    async with image.node(spec) as system:  # killed at that moment
        expected = [(T, reason)] if durable else []
        assert await seen(system, W) == expected


async def test_a_transaction_commits_before_what_is_queued(ground: Ground) -> None:
    """So it can't delete a monitor that is still to be written: its Down has a commit of its own, behind that one."""
    async with ground.node(trio(handler_timeout_s=None), settings=Settings(transaction_timeout_s=60.0)) as system:
        await bind(system, V, T)
        before = set(system.kernel.part(Monitors).related(T).watched)
        await system.ref(T).tell(End(how="hold"))
        while not system.kernel.committer.held:
            await asyncio.sleep(0)
        system.ref(W).tell(Bind(to=[T]))
        while not system.kernel.part(Monitors).related(T).watched.keys() - before:
            await asyncio.sleep(0)
        Mortal.gate.set()
        assert await seen(system, W) == [(T, "normal")]
        assert await seen(system, V) == [(T, "normal")]
        assert not relations(ground)
        await tell(system, T, End())
        assert await seen(system, W) == [(T, "normal")]
    async with ground.node(trio()) as system:
        await tell(system, T, End())
        assert await seen(system, W) == [(T, "normal")]


async def test_a_watcher_that_retires_while_its_down_is_on_the_way(ground: Ground) -> None:
    spec = tree(mortal("target", Lingering), pool(Mortal))
    watcher = "/t/pool/w"
    async with ground.node(spec) as system:
        await bind(system, watcher, T)
        await system.ref(T).tell(End(how="normal"))
        await system.ref(watcher).tell(End(how="retire"))
        await system.kernel.commits.flush()
        await patient(_gone(system, watcher))
        assert not ground.rows(MessageRow)
        Mortal.gate.set()
        await system.idle()
        assert await seen(system, watcher) == [], "whoever has the address now hasn't asked for it"
    assert not ground.rows(MessageRow)


async def _gone(system: Any, address: str) -> None:
    events = Recorder(system)
    if address in system.kernel.cells:
        await events.until("actor.retired", address)
    await system.kernel.commits.flush()


# -- the next life -----------------------------------------------------------------------------------------------


async def test_a_target_that_the_tree_has_no_more(ground: Ground) -> None:
    async with ground.node(trio()) as system:
        await bind(system, W, T, V)
    for _ in range(2):
        async with ground.node(tree(mortal("other"), mortal("watcher"))) as system:
            ((address, found),) = await seen(system, W)
            assert (address, found) == (T, "NoProcess")
            assert relations(ground) == [(W, V, "monitor")]


async def test_a_target_that_is_kept_stopped(ground: Ground) -> None:
    """A crash between the row that says so and the stop."""
    spec = tree(mortal("watcher"))
    async with ground.node(spec) as system:
        await system.ref("/t").ask(StartChild(spec=mortal("extra")))
        await bind(system, W, "/t/extra")
        image = ground.image()
        await system.ref("/t").ask(TerminateChild(id="extra"))
        ids = await system.ref(W).ask(Bindings())
        assert await seen(system, W) == [("/t/extra", "shutdown")]
    assert ids
    async with image.node(spec) as system:
        assert await seen(system, W) == []
        await tell(system, "/t/extra", End())
        assert await seen(system, W) == [("/t/extra", "RuntimeError")]


async def test_many_passive_targets_cost_no_cells_at_boot(memory: Ground) -> None:
    spec = tree(mortal("watcher"), pool(Mortal, max_children=10))
    async with memory.node(spec) as system:
        await bind(system, W, *(f"/t/pool/{number}" for number in range(50)))
    async with memory.node(spec) as system:
        assert sum(address.startswith("/t/pool/") for address in system.kernel.cells) <= 1
        assert await seen(system, W) == []
        await tell(system, "/t/pool/7", End())
        assert await seen(system, W) == [("/t/pool/7", "RuntimeError")]
    assert len(relations(memory)) == 49


async def test_a_damaged_record_is_left_alone(ground: Ground) -> None:
    async with ground.node(trio()) as system:
        await bind(system, W, T, V)
    row, _ = ground.rows(MonitorRow)
    ground.edit(MonitorRow, row.id, watcher="/t/elsewhere")
    async with ground.node(trio()) as system:
        for address in (T, V):
            await tell(system, address, End())
        assert len(await seen(system, W)) == 1
    assert len(ground.rows(MonitorRow)) == 1


async def test_a_watcher_that_the_tree_has_no_more_gets_its_down_when_it_is_back(ground: Ground) -> None:
    async with ground.node(trio()) as system:
        await bind(system, W, T)
    async with ground.node(tree(mortal("target"))) as system:
        await tell(system, T, End())
    async with ground.node(trio()) as system:
        assert await seen(system, W) == [(T, "RuntimeError")]


async def test_a_store_that_breaks_and_comes_back(ground: Ground) -> None:
    async with ground.node(trio()) as system:
        await bind(system, W, T)
        ground.plan.fail(StoreUnavailable("cable pulled"))
        with pytest.raises(StoreUnavailable):
            await system.ref(V).tell(Bind(to=[T]))
        await system.idle()
        await tell(system, T, End())
        assert await seen(system, W) == [(T, "RuntimeError")]
        assert await seen(system, V) == []


async def test_the_commit_that_ends_it_is_lost(ground: Ground) -> None:
    """Then it hasn't ended."""
    async with ground.node(trio()) as system:
        await bind(system, W, T)
        fired = False

        def pull(commit: Any) -> None:
            nonlocal fired
            if not fired and commit.deletes.get(MonitorRow):
                fired = True
                raise StoreUnavailable("cable pulled")

        ground.plan.hook = pull
        with pytest.raises(StoreUnavailable):
            await system.ref(T).tell(End(how="normal"))
        await system.idle()
        assert fired
        assert await seen(system, W) == []
        assert relations(ground) == [(W, T, "monitor")]
        await tell(system, T, End(how="normal"))
        assert await seen(system, W) == [(T, "normal")]


@pytest.mark.parametrize("how", ["error", "normal", "retire"])
async def test_a_crash_at_any_commit(memory: MemoryGround, how: str) -> None:
    """The monitor and its Down are never both there, and never both missing."""
    images: list[Ground] = []
    async with memory.node(trio()) as system:
        memory.plan.hook = lambda _: images.append(memory.image())
        for address, message in ((W, Bind(to=[T])), (T, End(how=how)), (V, Take(ids=[]))):
            await system.ref(address).tell(message, delay_s=1e-9)
            await system.idle()
        memory.plan.hook = None
        images.append(memory.image())
    assert len(images) >= 4
    for image in images:
        async with image.node(trio()) as system:
            await system.idle()
            downs = len(await seen(system, W))
            held = len(relations(image))
            wanted = len(await system.ref(W).ask(Bindings()))
            assert downs + held == wanted
            if T in system.kernel.cells:  # it has retired in this very life
                await tell(system, T, End())
            assert len(await seen(system, W)) == wanted
        assert not relations(image)


# -- retired from outside ------------------------------------------------------------------------------------------


async def test_an_operator_retires_a_watcher(ground: Ground) -> None:
    async with ground.node(trio()) as system:
        await bind(system, W, T)
        await bind(system, V, T)
        await system.inbox._administer("actors.retire", W, b"null")  # type: ignore[union-attr]
        assert relations(ground) == [(V, T, "monitor")]
        await tell(system, T, End())
        assert await seen(system, W) == []
        assert await seen(system, V) == [(T, "RuntimeError")]


async def test_an_operator_retires_a_target(ground: Ground) -> None:
    """One that runs is stopped first; one that is passive ends with it, too."""
    async with ground.node(tree(mortal("target"), mortal("watcher"), pool(Mortal))) as system:
        await bind(system, W, T, "/t/pool/a")
        for address in (T, "/t/pool/a"):
            await system.inbox._administer("actors.retire", address, b"null")  # type: ignore[union-attr]
        assert await seen(system, W) == [(address, "shutdown administration") for address in (T, "/t/pool/a")]
    assert not relations(ground)


async def test_retired_in_a_store_on_which_no_node_runs(ground: Ground) -> None:
    async with ground.node(trio()) as system:
        await bind(system, W, T)
        await bind(system, V, T, W)
        await bind(system, T, W)
    await offline.retire(ground.store(), T)
    assert relations(ground) == [(V, T, "monitor ended"), (V, W, "monitor"), (W, T, "monitor ended")]
    async with ground.node(trio()) as system:
        assert await seen(system, W) == [(T, "shutdown administration")]
        assert await seen(system, V) == [(T, "shutdown administration")]
        assert relations(ground) == [(V, W, "monitor")]
        await tell(system, W, End())
        assert await seen(system, T) == []
