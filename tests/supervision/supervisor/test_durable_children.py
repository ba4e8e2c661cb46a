"""Children that come, go and change over the lives of a node."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grounds import Ground
from patience import patience
from restart_actors import Child, Die, Hi, Note, failing, log

from greenroom import (
    Actor,
    AlreadyStarted,
    ChildCounts,
    ChildSpec,
    ConfigError,
    CountChildren,
    DeleteChild,
    Message,
    RestartChild,
    StartChild,
    SupervisorSpec,
    TerminateChild,
    WhichChildren,
    handler,
)
from greenroom.persistence.store.rows import ActorRow, ChildRow, MessageRow


@pytest.fixture(autouse=True)
def clean() -> None:
    log.clear()
    failing.clear()


def spec(id: str, **options: Any) -> ChildSpec:
    return ChildSpec(id=id, actor=Child, **options)


def top(*children: Any, **flags: Any) -> SupervisorSpec:
    return SupervisorSpec(id="t", children=list(children), **flags)


async def status(system: Any, address: str = "/t") -> dict[str, str]:
    """In start order."""
    found = await system.ref(address).ask(WhichChildren())
    return {child.id: child.status for child in reversed(found)}


async def test_a_child_started_at_run_time_is_there_in_the_next_life(ground: Ground) -> None:
    async with ground.node(top(spec("a"))) as system:
        assert await system.ref("/t").ask(StartChild(spec=spec("b"))) == "/t/b"
        await system.ref("/t/b").tell(Note(text="kept"))
        await system.idle()
    async with ground.node(top(spec("a"))) as system:
        assert await status(system) == {"a": "running", "b": "running"}
        with pytest.raises(AlreadyStarted):
            await system.ref("/t").ask(StartChild(spec=spec("b")))
    (row,) = [row for row in ground.rows(ActorRow) if row.address == "/t/b"]
    assert "kept" in row.state


async def test_it_is_on_disk_before_it_starts(ground: Ground) -> None:
    seen: list[Any] = []

    class Looks(Actor[None]):
        async def on_start(self) -> None:
            seen.extend(row.id for row in ground.rows(ChildRow))

    async with ground.node(top()) as system:
        await system.ref("/t").ask(StartChild(spec=ChildSpec(id="b", actor=Looks)))
    assert "b" in seen


async def test_after_a_crash_it_is_there_once(ground: Ground) -> None:
    async with ground.node(top()) as system:
        await system.ref("/t").ask(StartChild(spec=spec("b")))
        crashed = ground.image()
    async with crashed.node(top()) as system:
        assert await status(system) == {"b": "running"}
        assert await system.ref("/t").ask(CountChildren()) == ChildCounts(specs=1, active=1, supervisors=0, workers=1)


async def test_a_terminated_child_stays_stopped_until_it_is_restarted(ground: Ground) -> None:
    tree = top(spec("a"), spec("b"))
    async with ground.node(tree) as system:
        await system.ref("/t").ask(TerminateChild(id="a"))
        await system.ref("/t").ask(TerminateChild(id="a"))
        assert await status(system) == {"a": "stopped", "b": "running"}
    async with ground.node(tree) as system:
        assert await status(system) == {"a": "stopped", "b": "running"}
        await system.ref("/t/a").tell(Note(text="waits"))
        assert await system.ref("/t").ask(RestartChild(id="a")) == "/t/a"
        await system.idle()
    async with ground.node(tree) as system:
        assert await status(system) == {"a": "running", "b": "running"}
    assert not ground.rows(MessageRow)


async def test_a_terminated_child_doesnt_come_back_with_its_group(ground: Ground) -> None:
    async with ground.node(top(spec("a"), spec("b"), strategy="one_for_all")) as system:
        await system.ref("/t").ask(TerminateChild(id="a"))
        log.clear()
        await system.ref("/t/b").tell(Die())
        await system.idle()
        assert log == ["-b:error", "+b"]
        assert await status(system) == {"a": "stopped", "b": "running"}


async def test_in_strict_mode_it_does(ground: Ground) -> None:
    """OTP: a group restart starts every child that has a spec."""
    tree = top(spec("a"), spec("b"), strategy="one_for_all", strict=True)
    async with ground.node(tree) as system:
        await system.ref("/t").ask(TerminateChild(id="a"))
        await system.ref("/t/b").tell(Die())
        await system.idle()
        assert await status(system) == {"a": "running", "b": "running"}
    async with ground.node(tree) as system:
        assert await status(system) == {"a": "running", "b": "running"}


async def test_a_child_that_left_the_tree_stays_stopped_with_its_state_and_mail(ground: Ground) -> None:
    async with ground.node(top(spec("a"), spec("b"))) as system:
        await system.ref("/t/b").tell(Note(text="one"))
    async with ground.node(top(spec("a"))) as system:
        assert await status(system) == {"a": "running", "b": "stopped"}
        await system.ref("/t/b").tell(Note(text="two"))
    async with ground.node(top(spec("b"))) as system:  # b is back, and a has left
        assert await status(system) == {"b": "running", "a": "stopped"}
        await system.idle()
    (row,) = [row for row in ground.rows(ActorRow) if row.address == "/t/b"]
    assert "one" in row.state
    assert "two" in row.state


async def test_a_child_that_left_can_be_restarted_or_deleted(ground: Ground) -> None:
    async with ground.node(top(spec("a"), spec("b"))):
        pass
    async with ground.node(top()) as system:
        await system.ref("/t").ask(RestartChild(id="a"))
        await system.ref("/t").ask(DeleteChild(id="b"))
        assert await status(system) == {"a": "running"}
    async with ground.node(top()) as system:
        assert await status(system) == {"a": "running"}


async def test_a_subtree_started_at_run_time_is_there_in_the_next_life(ground: Ground) -> None:
    below = SupervisorSpec(id="s", children=[spec("x"), spec("y")])
    async with ground.node(top()) as system:
        await system.ref("/t").ask(StartChild(spec=below))
        await system.ref("/t/s").ask(StartChild(spec=spec("z")))
        await system.ref("/t/s").ask(TerminateChild(id="y"))
    async with ground.node(top()) as system:
        assert await status(system, "/t/s") == {"x": "running", "y": "stopped", "z": "running"}
        await system.ref("/t").ask(TerminateChild(id="s"))
        await system.ref("/t").ask(DeleteChild(id="s"))
    assert [row.id for row in ground.rows(ChildRow)] == ["t"]


async def test_a_temporary_child_is_not_kept(ground: Ground) -> None:
    async with ground.node(top()) as system:
        await system.ref("/t").ask(StartChild(spec=spec("b", restart="temporary")))
        crashed = ground.image()
    async with crashed.node(top()) as system:
        assert await status(system) == {}


@pytest.mark.parametrize("strategy", ["dynamic", "one_for_one"])
async def test_a_termination_is_on_disk_before_it_is_acknowledged(ground: Ground, strategy: Any) -> None:
    async with ground.node(top(strategy=strategy)) as system, patience():
        await system.ref("/t").ask(StartChild(spec=spec("a")))
        await system.idle()
        ground.plan.hold()
        asked = asyncio.ensure_future(system.ref("/t").ask(TerminateChild(id="a")))
        await ground.plan.arrived()
        for _ in range(100):
            await asyncio.sleep(0)
        assert not asked.done()
        ground.plan.release()
        await asked
        assert [row.status for row in ground.rows(ChildRow) if row.id == "a"] == (
            [] if strategy == "dynamic" else ["stopped"]
        )


async def test_a_child_that_fails_in_the_next_life_doesnt_keep_the_node_down(ground: Ground) -> None:
    async with ground.node(top(spec("a"))) as system:
        await system.ref("/t").ask(StartChild(spec=spec("b")))
    failing["b"] = 2
    log.clear()
    async with ground.node(top(spec("a"))) as system:
        await system.idle()
        assert log == ["+a", "!b", "!b", "+b"]
        assert await status(system) == {"a": "running", "b": "running"}


async def test_a_retired_child_is_gone_for_good(ground: Ground) -> None:
    async with ground.node(top()) as system:
        await system.ref("/t").ask(StartChild(spec=spec("b")))
        await system.ref("/t/b").tell(Die(how="retire"))
        await system.idle()
    assert [row.id for row in ground.rows(ChildRow)] == ["t"]
    async with ground.node(top()) as system:
        assert await status(system) == {}


async def test_mail_of_a_deleted_child_waits_for_the_next_of_its_address(ground: Ground) -> None:
    async with ground.node(top()) as system:
        supervisor = system.ref("/t")
        await supervisor.ask(StartChild(spec=spec("b")))
        await supervisor.ask(TerminateChild(id="b"))
        await system.ref("/t/b").tell(Note(text="patience"), priority=3)
        await supervisor.ask(DeleteChild(id="b"))
        await supervisor.ask(StartChild(spec=spec("b")))
        await system.idle()
    (row,) = [row for row in ground.rows(ActorRow) if row.address == "/t/b"]
    assert "patience" in row.state


# -- partitions ------------------------------------------------------------------------------------------


def shards(count: int, cls: Any = Child) -> SupervisorSpec:
    return SupervisorSpec(id="p", strategy="partition", partitions=count, template=ChildSpec(id="shard", actor=cls))


async def test_a_key_has_one_partition_in_every_life(ground: Ground) -> None:
    keys = [f"key {number}" for number in range(50)]
    async with ground.node(top(shards(4))) as system:
        assert list(await status(system, "/t/p")) == ["0", "1", "2", "3"]
        before = [system.ref("/t/p").partition(key).address for key in keys]
        assert await system.ref("/t/p").partition("x").ask(Hi()) == 1
    async with ground.node(top(shards(4))) as system:
        assert [system.ref("/t/p").partition(key).address for key in keys] == before
    assert set(before) == {f"/t/p/{number}" for number in range(4)}
    assert before[:3] == ["/t/p/2", "/t/p/3", "/t/p/0"]  # whatever Python's own hash is seeded with


class Stateless(Actor[None]):
    @handler
    def hi(self, request: Hi) -> int:
        return 2


async def test_their_number_cant_change_under_state(ground: Ground) -> None:
    async with ground.node(top(shards(4))) as system:
        await system.ref("/t/p/3").tell(Note(text="mine"))
    for count in (3, 5):
        with pytest.raises(ConfigError, match=r"partitions: found \d, expected 4, as before: /t/p/0"):
            async with ground.node(top(shards(count))):
                pass
    async with ground.node(top(shards(4))) as system:
        assert await system.ref("/t/p/3").ask(Hi()) == 1


async def test_their_number_can_change_without(ground: Ground) -> None:
    async with ground.node(top(shards(4, Stateless))):
        pass
    async with ground.node(top(shards(2, Stateless))) as system:
        assert await status(system, "/t/p") == {"0": "running", "1": "running"}
    assert [row.id for row in ground.rows(ChildRow) if row.supervisor == "/t/p"] == ["0", "1"]


class Hold(Message):
    pass


async def test_their_number_cant_change_under_mail(ground: Ground) -> None:
    async with ground.node(top(shards(2, Stateless))) as system:
        await system.ref("/t").ask(TerminateChild(id="p"))
        await system.ref("/t/p/1").tell(Hold())
    with pytest.raises(ConfigError, match="/t/p/1 still have state or mail"):
        async with ground.node(top(shards(3, Stateless))):
            pass
