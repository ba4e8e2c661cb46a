"""Links outlive what they are to outlive: the node, passivation, a broken store."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from grounds import Ground, pool, tree
from watch_actors import (
    Bind,
    End,
    Life,
    Lingering,
    Mortal,
    Seen,
    Trapper,
    bind,
    diary,
    exits,
    mortal,
    relations,
    seen,
    tell,
    three,
)

from greenroom import ExitReason, StoreUnavailable
from greenroom.actors.extensions.monitors.registry import Monitors
from greenroom.testing import Recorder, VirtualRuntime

A, B, C = "/t/a", "/t/b", "/t/c"


@pytest.fixture(autouse=True)
def gate() -> None:
    Mortal.gate = asyncio.Event()


# -- the end of the node, passivation, the store -------------------------------------------------------------


async def test_a_durable_link_holds_over_the_node(ground: Ground) -> None:
    async with ground.node(three()) as system:
        await bind(system, A, B, how="link")
    assert relations(ground) == [(A, B, "link")]
    async with ground.node(three()) as system:
        events = Recorder(system)
        await tell(system, B, End(how="custom"))
        assert {address for address, _, _ in exits(events)} == {A, B}
    assert not relations(ground)


async def test_one_with_an_end_without_rows_does_not(ground: Ground) -> None:
    spec = tree(mortal("a"), mortal("b", durable=False))
    async with ground.node(spec) as system:
        await bind(system, A, B, how="link")
        assert len(system.kernel.part(Monitors).bound) == 2
    async with ground.node(spec) as system:
        assert not system.kernel.part(Monitors).bound


async def test_an_end_that_the_tree_has_no_more(ground: Ground) -> None:
    async with ground.node(three(Trapper, Mortal, Mortal)) as system:
        await bind(system, A, B, how="link")
        await bind(system, C, B, how="link")
    async with ground.node(tree(mortal("a", Trapper), mortal("c"))) as system:
        assert await seen(system, A) == [(B, "NoProcess")]
        assert system.kernel.cells[C].status == "up", "restarted"
        assert await system.ref(C).ask(Life()) > await system.ref(A).ask(Life()) + 1
    assert not relations(ground)


async def test_passivation_keeps_the_link(clock: VirtualRuntime, memory: Ground) -> None:
    spec = tree(mortal("a"), pool(mortal("template", Trapper, idle_timeout_s=1.0)), intensity=100)
    other = "/t/pool/x"
    async with memory.node(spec, runtime=clock) as system:
        await clock.run(bind(system, A, other, how="link"))
        await clock.advance(10.0)
        assert other not in system.kernel.cells
        await clock.run(tell(system, A, End(how="custom")))
        assert await clock.run(seen(system, other)) == [(A, "error by hand")]


async def test_a_signal_goes_on_through_one_that_is_passive(clock: VirtualRuntime, memory: Ground) -> None:
    spec = tree(mortal("a"), mortal("c", Trapper), pool(mortal("template", idle_timeout_s=1.0)), intensity=100)
    middle = "/t/pool/x"
    async with memory.node(spec, runtime=clock) as system:
        await clock.run(bind(system, middle, A, C, how="link"))
        await clock.advance(10.0)
        assert middle not in system.kernel.cells
        await clock.run(tell(system, A, End(how="custom")))
        assert await clock.run(seen(system, C)) == [(middle, "error by hand")]
        assert not system.kernel.part(Monitors).bound


async def test_a_long_chain_of_passive_ones(memory: Ground) -> None:
    spec = tree(mortal("a"), mortal("c", Trapper), pool(Mortal), intensity=100)
    async with memory.node(spec) as system:
        names = [A, *(f"/t/pool/{number}" for number in range(1500)), C]
        for one, other in pairwise(names):
            system.ref(one).tell(Bind(to=[other], how="link"))
        await system.idle()
        for number in range(1500):
            cell = system.kernel.cells[f"/t/pool/{number}"]
            cell.fence("passive")
        await tell(system, A, End(how="custom"))
        assert len(await seen(system, C)) == 1
        assert not system.kernel.part(Monitors).bound


async def test_a_store_that_breaks(ground: Ground) -> None:
    async with ground.node(three(Mortal, Trapper)) as system:
        await bind(system, A, B, how="link")
        ground.plan.fail(StoreUnavailable("cable pulled"))
        with pytest.raises(StoreUnavailable):
            await system.ref(C).tell(Bind(to=[B], how="link"))
        await system.idle()
        assert relations(ground) == [(A, B, "link")]
        await tell(system, A, End(how="custom"))
        assert await seen(system, B) == [(A, "error by hand")]


async def test_the_message_commits_with_the_exit(ground: Ground) -> None:
    spec = tree(mortal("a", Lingering), mortal("b", Trapper))
    async with ground.node(spec) as system:
        await bind(system, A, B, how="link")
        await system.ref(A).tell(End(how="shutdown"))
        await system.ref(B).ask(Seen())
        await system.kernel.commits.flush()
        image = ground.image()
        assert await system.ref(B).ask(Seen()) == []
        Mortal.gate.set()
        assert await seen(system, B) == [(A, "shutdown done")]
    assert not relations(image)
    async with image.node(spec) as system:
        assert await seen(system, B) == [(A, "shutdown done")]


async def test_monitors_of_what_a_link_takes_along(ground: Ground) -> None:
    async with ground.node(three()) as system:
        await bind(system, A, B, how="link")
        await bind(system, C, B)
        await tell(system, A, End(how="custom"))
        assert await seen(system, C) == [(B, "error by hand")]
    assert diary(ground, C).seen == [(B, "error by hand")]


class Stubborn(Mortal):
    async def on_stop(self, reason: ExitReason) -> None:
        self.state.seen.append(("on_stop", reason.kind))


async def test_on_stop_runs(ground: Ground) -> None:
    async with ground.node(three(Mortal, Stubborn)) as system:
        await bind(system, A, B, how="link")
        await tell(system, A, End(how="custom"))
        assert await seen(system, B) == [("on_stop", "error")]
