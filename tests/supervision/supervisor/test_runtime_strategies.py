"""A supervisor's work when a child exits. The names in brackets are those of OTP's own suite."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from grounds import Ground, pool, tree
from restart_actors import Child, Die, Hi, Note, failing, kids, kill, log

from greenroom import Ignore, StartFailed, SupervisorSpec, TreeGaveUp
from greenroom.persistence.store.rows import ActorRow, MessageRow
from greenroom.testing import Recorder, VirtualRuntime


@pytest.fixture(autouse=True)
def fresh() -> None:
    log.clear()
    failing.clear()


# -- start and stop -------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
async def test_started_in_order_stopped_in_reverse(ground: Ground, strategy: Any) -> None:
    """[sup_start_normal, order_of_children]"""
    async with ground.node(tree(*kids("a", "b", "c"), strategy=strategy)):
        assert log == ["+a", "+b", "+c"]
        log.clear()
    assert log == ["-c", "-b", "-a"]


async def test_subtrees_start_and_stop_in_order(ground: Ground) -> None:
    inner = SupervisorSpec(id="s", children=kids("b", "c"))
    async with ground.node(tree(*kids("a"), inner, *kids("d"))):
        assert log == ["+a", "+b", "+c", "+d"]
        log.clear()
    assert log == ["-d", "-c", "-b", "-a"]


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_start_that_fails_stops_the_started_ones_in_reverse(ground: Ground, place: int) -> None:
    """[sup_start_fail] The supervisor's start fails, naming child and reason."""
    ids = ["a", "b", "c"]
    failing[ids[place]] = 1
    with pytest.raises(StartFailed) as caught:
        async with ground.node(tree(*kids(*ids))):
            pytest.fail("it started")
    before = ids[:place]
    assert log == [f"+{i}" for i in before] + [f"!{ids[place]}"] + [f"-{i}" for i in reversed(before)]
    assert caught.value.address == "/t"
    assert f"/t/{ids[place]}" in str(caught.value)
    assert f"{ids[place]} can't start" in str(caught.value)
    log.clear()
    async with ground.node(tree(*kids(*ids))):
        assert log == ["+a", "+b", "+c"], "nothing holds the store, and nothing is left over"


async def test_a_nested_start_that_fails_surfaces_intact(ground: Ground) -> None:
    """[faulty_application_shutdown]"""
    failing["b"] = 1
    inner = SupervisorSpec(id="s", children=kids("b"))
    with pytest.raises(StartFailed, match="/t/s/b") as caught:
        async with ground.node(tree(*kids("a"), inner)):
            pytest.fail("it started")
    assert "b can't start" in str(caught.value)
    assert log == ["+a", "!b", "-a"]


# -- the three strategies -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "dead", "expected"),
    [
        ("one_for_one", "a", ["-a:error", "+a"]),
        ("one_for_one", "b", ["-b:error", "+b"]),
        ("one_for_all", "a", ["-a:error", "-c", "-b", "+a", "+b", "+c"]),
        ("one_for_all", "b", ["-b:error", "-c", "-a", "+a", "+b", "+c"]),
        ("one_for_all", "c", ["-c:error", "-b", "-a", "+a", "+b", "+c"]),
        ("rest_for_one", "a", ["-a:error", "-c", "-b", "+a", "+b", "+c"]),
        ("rest_for_one", "b", ["-b:error", "-c", "+b", "+c"]),
        ("rest_for_one", "c", ["-c:error", "+c"]),
    ],
)
async def test_who_is_restarted(ground: Ground, strategy: Any, dead: str, expected: list[str]) -> None:
    """[one_for_one, one_for_all, rest_for_one]"""
    async with ground.node(tree(*kids("a", "b", "c"), strategy=strategy)) as system:
        log.clear()
        await kill(system, f"/t/{dead}")
        assert log == expected
        for one in "abc":
            assert await system.ref(f"/t/{one}").ask(Hi()) == 1


async def test_only_the_dead_one_of_a_pool(ground: Ground) -> None:
    """[simple_one_for_one]"""
    async with ground.node(tree(pool(Child))) as system:
        for one in "abc":
            await system.ref(f"/t/pool/{one}").ask(Hi())
        log.clear()
        await kill(system, "/t/pool/b")
        assert log == ["-b:error", "+b"]


async def test_an_exit_under_an_inner_supervisor_is_its_own_affair(ground: Ground) -> None:
    inner = SupervisorSpec(id="s", strategy="one_for_all", children=kids("b", "c"))
    async with ground.node(tree(*kids("a"), inner, *kids("d"), strategy="one_for_all")) as system:
        log.clear()
        await kill(system, "/t/s/b")
        assert log == ["-b:error", "-c", "+b", "+c"]


# -- restart types --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("restart", "how", "again"),
    [
        ("permanent", "normal", True),
        ("permanent", "shutdown", True),
        ("permanent", "killed", True),
        ("permanent", "error", True),
        ("transient", "normal", False),
        ("transient", "shutdown", False),
        ("transient", "killed", True),
        ("transient", "error", True),
        ("temporary", "normal", False),
        ("temporary", "shutdown", False),
        ("temporary", "killed", False),
        ("temporary", "error", False),
    ],
)
async def test_restart_types(ground: Ground, restart: Any, how: str, again: bool) -> None:
    """[permanent_normal ... temporary_abnormal]"""
    async with ground.node(tree(*kids("a"), *kids("b", restart=restart), *kids("c"))) as system:
        log.clear()
        await kill(system, "/t/b", how)
        stopped = [] if how == "killed" else [f"-b:{how}" if how != "shutdown" else "-b"]
        assert log == stopped + (["+b"] if again else [])
        if again:
            assert await system.ref("/t/b").ask(Hi()) == 1


async def test_a_temporary_bystander_isnt_restarted(ground: Ground) -> None:
    """[temporary_bystander]"""
    spec = tree(*kids("a"), *kids("b", restart="temporary"), *kids("c"), strategy="one_for_all")
    async with ground.node(spec) as system:
        log.clear()
        await kill(system, "/t/a")
        assert log == ["-a:error", "-c", "-b", "+a", "+c"]


async def test_mail_of_a_stopped_actor_waits_for_the_next_boot(ground: Ground) -> None:
    spec = tree(*kids("a", restart="transient"))
    async with ground.node(spec) as system:
        await kill(system, "/t/a", "normal")
        await system.ref("/t/a").tell(Note(text="later"))
        await system.idle()
    assert len(ground.rows(MessageRow)) == 1
    async with ground.node(spec) as system:
        await system.idle()
    assert not ground.rows(MessageRow)
    (row,) = ground.rows(ActorRow)
    assert msgspec.json.decode(row.state) == {"notes": ["later"]}


# -- restarts whose start fails -------------------------------------------------------------------------


async def test_a_failing_restart_is_tried_until_the_limit(memory: Ground, clock: VirtualRuntime) -> None:
    """[one_for_one_escalation]"""
    async with memory.node(tree(*kids("a", "b"), intensity=4), runtime=clock) as system:
        log.clear()
        failing["a"] = 99
        with pytest.raises(TreeGaveUp):
            await kill(system, "/t/a")
        assert log == ["-a:error", "!a", "!a", "!a", "!a", "-b"]


async def test_a_failing_restart_that_comes_to_succeed(ground: Ground) -> None:
    async with ground.node(tree(*kids("a", "b"), intensity=4)) as system:
        log.clear()
        failing["a"] = 2
        await kill(system, "/t/a")
        assert log == ["-a:error", "!a", "!a", "+a"]


async def test_one_for_all_stops_everything_again_when_another_fails(ground: Ground) -> None:
    """[one_for_all_other_child_fails_restart]"""
    async with ground.node(tree(*kids("a", "b", "c"), strategy="one_for_all", intensity=4)) as system:
        log.clear()
        failing["b"] = 1
        await kill(system, "/t/a")
        assert log == ["-a:error", "-c", "-b", "+a", "!b", "-a", "+a", "+b", "+c"]


async def test_rest_for_one_resumes_at_the_failed_child(ground: Ground) -> None:
    """[rest_for_one_other_child_fails_restart]"""
    async with ground.node(tree(*kids("a", "b", "c"), strategy="rest_for_one", intensity=4)) as system:
        log.clear()
        failing["b"] = 1
        await kill(system, "/t/a")
        assert log == ["-a:error", "-c", "-b", "+a", "!b", "+b", "+c"]


async def test_a_restart_that_is_ignored(ground: Ground) -> None:
    """[simple_one_for_one_restart_ignore, and the spec of a static child is kept]"""
    Moody.willing = True
    async with ground.node(tree(("a", Moody), *kids("b"))) as system:
        Moody.willing = False
        await kill(system, "/t/a")
        assert await system.ref("/t/b").ask(Hi()) == 1
    Moody.willing = True
    async with ground.node(tree(("a", Moody), *kids("b"))) as system:
        assert await system.ref("/t/a").ask(Hi()) == 1


class Moody(Child):
    willing = True

    async def on_start(self) -> None:
        if not Moody.willing:
            raise Ignore("no")


# -- messages around a restart --------------------------------------------------------------------------


async def test_messages_queue_during_a_restart(ground: Ground) -> None:
    SlowStart.gate = asyncio.Event()
    SlowStart.gate.set()
    async with ground.node(tree(("a", SlowStart), intensity=10)) as system:
        a = system.ref("/t/a")
        SlowStart.gate.clear()
        await a.tell(Die())
        for number in range(5):
            await a.tell(Note(text=str(number)))
        SlowStart.gate.set()
        await system.idle()
    (row,) = ground.rows(ActorRow)
    assert msgspec.json.decode(row.state)["notes"] == ["0", "1", "2", "3", "4"]


class SlowStart(Child):
    gate: asyncio.Event

    async def on_start(self) -> None:
        await SlowStart.gate.wait()


async def test_state_survives_restarts_and_a_rolled_back_turn_does_not(ground: Ground) -> None:
    async with ground.node(tree(*kids("a"), intensity=10)) as system:
        a = system.ref("/t/a")
        for number in range(3):
            await a.tell(Note(text=str(number)))
            await kill(system, "/t/a", ["error", "normal", "killed"][number])
        await a.tell(Note(text="end"))
        await system.idle()
    (row,) = ground.rows(ActorRow)
    assert msgspec.json.decode(row.state)["notes"] == ["0", "1", "2", "end"]


async def test_incarnations_rise(ground: Ground) -> None:
    async with ground.node(tree(*kids("a"), intensity=10)) as system:
        events = Recorder(system)
        for _ in range(3):
            await kill(system, "/t/a")
        numbers = [event.measures["incarnation"] for event in events.of("actor.started", "/t/a")]
        assert numbers == sorted(set(numbers))
        assert len(numbers) == 3


# -- retiring -------------------------------------------------------------------------------------------


async def test_a_retired_static_child_is_gone_until_the_next_boot(ground: Ground) -> None:
    from greenroom import ActorNotFound

    spec = tree(*kids("a", "b"), strategy="one_for_all", intensity=10)
    async with ground.node(spec) as system:
        await system.ref("/t/a").tell(Note(text="x"))
        await kill(system, "/t/a", "retire")
        with pytest.raises(ActorNotFound):
            system.ref("/t/a").tell(Note(text="y"))
        assert [row.address for row in ground.rows(ActorRow)] == ["/t/b"]
        log.clear()
        await kill(system, "/t/b")
        assert log == ["-b:error", "+b"], "a sibling's restart doesn't bring it back"
    async with ground.node(spec) as system:
        await system.ref("/t/a").tell(Note(text="y"))
        await system.idle()
    assert msgspec.json.decode(ground.rows(ActorRow)[0].state)["notes"] == ["y"]


async def test_a_retired_child_of_a_pool_begins_afresh(ground: Ground) -> None:
    async with ground.node(tree(pool(Child))) as system:
        a = system.ref("/t/pool/a")
        await a.tell(Note(text="x"))
        await kill(system, "/t/pool/a", "retire")
        assert not ground.rows(ActorRow)
        await a.tell(Note(text="y"))
        await system.idle()
        assert "/t/pool/a" in system.kernel.cells
    (row,) = ground.rows(ActorRow)
    assert msgspec.json.decode(row.state)["notes"] == ["y"]
