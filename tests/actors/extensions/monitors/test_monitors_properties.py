"""Any program of monitors and exits, through restarts, crashes and a store that fails: one monitor, one Down."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import Any

import msgspec
import pytest
from grounds import Ground, MemoryGround, pool, tree
from hypothesis import example, given, settings
from hypothesis import strategies as st
from patience import patience
from watch_actors import FAST, Bind, End, Mortal, mortal

from greenroom import (
    Actor,
    ActorSystem,
    ChildSpec,
    Down,
    GreenroomError,
    Message,
    RestartChild,
    StoreUnavailable,
    SupervisorSpec,
    TerminateChild,
    handler,
)
from greenroom.actors.extensions.monitors.registry import Monitors
from greenroom.persistence.store.rows import ActorRow, DeadLetterRow, MessageRow, MonitorRow

TARGETS = ["/t/durable", "/t/light", "/t/pool/a"]
WATCHERS = ["/t/w0", "/t/w1", "/t/watchers/a"]


class Set(Message):
    target: str
    times: int
    fails: bool


class Unset(Message):
    """The monitor that was set last."""


class Stumble(Message):
    """Exit, once."""


class Tally(msgspec.Struct):
    set: dict[str, str] = {}
    """Target by monitor."""
    unset: list[str] = []
    heard: list[str] = []


class Watcher(Actor[Tally]):
    backoff = FAST
    max_attempts = 2

    @handler
    async def set(self, message: Set) -> None:
        for _ in range(message.times):
            self.state.set[self.monitor(self.system.ref(message.target))] = message.target
        await asyncio.sleep(0)
        if message.fails and self.turn.attempt == 1:
            raise RuntimeError("not this time")

    @handler
    def take_off(self, message: Unset) -> None:
        left = [monitor for monitor in self.state.set if monitor not in self.state.unset]
        if left:
            self.demonitor(left[-1])
            self.state.unset.append(left[-1])

    @handler
    def stumble(self, message: Stumble) -> None:
        if self.turn.attempt == 1:
            raise RuntimeError("oops")

    @handler
    def down(self, message: Down) -> None:
        assert self.state.set[message.monitor] == message.address
        self.state.heard.append(message.monitor)


def spec() -> SupervisorSpec:
    return tree(
        mortal("durable"),
        mortal("light", durable=False),
        pool(Mortal),
        ChildSpec(id="w0", actor=Watcher),
        ChildSpec(id="w1", actor=Watcher),
        pool(Watcher, id="watchers"),
        intensity=10_000,
    )


steps = st.one_of(
    st.builds(
        lambda who, target, times, fails: (who, Set(target=target, times=times, fails=fails)),
        st.sampled_from(WATCHERS),
        st.sampled_from([*TARGETS, "/t/nobody"]),
        st.integers(1, 2),
        st.booleans(),
    ),
    st.tuples(st.sampled_from(WATCHERS), st.sampled_from([Unset(), Stumble()])),
    st.tuples(
        st.sampled_from(TARGETS),
        st.sampled_from([End(how=how) for how in ("error", "normal", "custom", "transaction")]),
    ),
    st.tuples(st.just("/t/durable"), st.builds(Bind, to=st.just(["/t/light"]), how=st.just("link"))),
    st.tuples(st.just("stop"), st.sampled_from(["durable", "light", "w1"])),
    st.tuples(st.just("start"), st.sampled_from(["durable", "light", "w1"])),
    st.tuples(st.sampled_from(["idle", "flush", "node", "crash", "break", "turn"]), st.none()),
)


async def run(program: list[tuple[str, Any]]) -> None:
    async with patience():
        await run_patiently(program)


async def run_patiently(program: list[tuple[str, Any]]) -> None:
    ground: Ground = MemoryGround()
    pending = list(program)
    while pending:
        async with ground.node(spec(), on_event=lambda _: None) as system:
            ground = await live(ground, system, pending)
    ground.plan.hook = None
    async with ground.node(spec(), on_event=lambda _: None) as system:
        await finish(system)
        check(ground)
    assert not ground.rows(MonitorRow)
    assert not ground.rows(MessageRow)


async def live(ground: Ground, system: ActorSystem, pending: list[tuple[str, Any]]) -> Ground:
    """One life of the node, up to the next step that ends it; returns the data of the next one."""
    while pending:
        who, what = pending.pop(0)
        try:
            match who:
                case "idle":
                    await system.idle()
                case "flush":
                    await system.kernel.commits.flush()
                case "turn":
                    await asyncio.sleep(0)
                case "node":
                    return ground
                case "crash":
                    return ground.image()
                case "break":
                    ground.plan.hook = partial(pull_cable, ground)
                case "stop":
                    await system.ref("/t").ask(TerminateChild(id=what))
                case "start":
                    await system.ref("/t").ask(RestartChild(id=what))
                case _:
                    system.ref(who).tell(what)
        except GreenroomError:
            pass  # the store is broken at the moment; a child runs already, or stops
    await system.idle()
    return ground


def pull_cable(ground: Ground, _: object) -> None:
    ground.plan.hook = None
    raise StoreUnavailable("cable pulled")


async def finish(system: ActorSystem) -> None:
    """Bring everybody up, then let every target exit."""
    await system.idle()
    for name in ("durable", "light", "w0", "w1"):
        try:
            await system.ref("/t").ask(RestartChild(id=name))
        except GreenroomError:
            assert system.kernel.cells[f"/t/{name}"].status == "up"
    await system.idle()
    for target in TARGETS:
        await system.ref(target).tell(End(how="custom"))
    await system.idle()
    assert not system.kernel.part(Monitors).bound


def check(ground: Ground) -> None:
    assert not [row for row in ground.rows(DeadLetterRow) if row.type == "Down"]
    for row in ground.rows(ActorRow):
        if row.address not in WATCHERS:
            continue
        tally = msgspec.json.decode(row.state, type=Tally)
        heard = Counter(tally.heard)
        assert max(heard.values(), default=0) <= 1, "one monitor, one Down"
        for monitor, target in tally.set.items():
            if monitor not in tally.unset:
                assert heard[monitor] == 1, f"the Down of {target} is lost"


TO_A_BROKEN_STORE: list[tuple[str, Any]] = [
    ("stop", "durable"),
    ("stop", "w1"),
    ("/t/durable", Bind(to=["/t/light"], how="link")),
    ("/t/pool/a", End(how="transaction")),
    ("turn", None),
    ("/t/pool/a", End(how="normal")),
    ("break", None),
    ("stop", "light"),
    ("start", "light"),
]


A_STOP_AND_A_BROKEN_STORE: list[tuple[str, Any]] = [
    ("/t/durable", End(how="transaction")),
    ("start", "light"),
    ("break", None),
    ("crash", None),
]


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@example(TO_A_BROKEN_STORE)
@example(A_STOP_AND_A_BROKEN_STORE)
@given(st.lists(steps, max_size=25))
def test_any_program(program: list[tuple[str, Any]]) -> None:
    asyncio.run(run(program))
