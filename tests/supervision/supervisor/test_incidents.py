"""Incidents: what is on record of exits, how much of it, and what it means to the next life's restart intensity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from grounds import Ground, MemoryGround, pool, tree
from restart_actors import Child, Die, Hi, failing, kids, kill, log

from greenroom import (
    Actor,
    Backoff,
    ChildSpec,
    ExitReason,
    Message,
    RestartBackoff,
    Settings,
    SupervisorSpec,
    TerminateChild,
    TreeGaveUp,
    handler,
    start,
)
from greenroom.persistence.store.checksums import verify
from greenroom.persistence.store.rows import IncidentRow
from greenroom.testing import Recorder, VirtualRuntime


@pytest.fixture(autouse=True)
def fresh() -> None:
    log.clear()
    failing.clear()


def told(ground: Ground) -> list[tuple[str, str, str, int]]:
    """Child, kind, what was done, and whether it was charged; oldest first."""
    return [(row.address, row.kind, row.action, row.charged) for row in ground.rows(IncidentRow)]


def actions(ground: Ground) -> list[str]:
    return [row.action for row in ground.rows(IncidentRow)]


# -- what is on record ---------------------------------------------------------------------------------------


async def test_a_restart(ground: Ground) -> None:
    async with ground.node(tree(*kids("a"))) as system:
        incarnation = system.kernel.cells["/t/a"].incarnation.number
        await kill(system, "/t/a", "it broke")
        boot = system.kernel.boot
    (row,) = ground.rows(IncidentRow)
    assert verify(row) is row
    assert (row.id, row.supervisor, row.address, row.boot, row.incarnation) == (1, "/t", "/t/a", boot, incarnation)
    assert (row.kind, row.error, row.text, row.action, row.charged) == (
        "error",
        "RuntimeError",
        "it broke",
        "restarted",
        1,
    )
    assert "raise RuntimeError(how)" in row.traceback
    assert row.at > 1e9


async def test_what_was_done_in_each_case(ground: Ground) -> None:
    spec = tree(
        *kids("a"),
        *kids("t", restart="transient"),
        *kids("x", restart="temporary"),
        SupervisorSpec(id="all", strategy="one_for_all", children=kids("b", "c", "d")),
        SupervisorSpec(id="rest", strategy="rest_for_one", children=kids("e", "f", "g")),
        pool(Child),
        intensity=100,
    )
    async with ground.node(spec) as system:
        for address, how in (
            ("/t/a", "normal"),
            ("/t/a", "killed"),
            ("/t/t", "normal"),
            ("/t/x", "error"),
            ("/t/all/c", "error"),
            ("/t/rest/f", "error"),
            ("/t/rest/g", "shutdown"),
            ("/t/pool/y", "error"),
        ):
            await kill(system, address, how)
        await system.ref("/t").ask(TerminateChild(id="a"))
    assert told(ground) == [
        ("/t/a", "normal", "restarted", 1),
        ("/t/a", "killed", "restarted", 1),
        ("/t/x", "error", "not restarted: it is temporary", 0),
        ("/t/all/c", "error", "restarted, with 2 of its siblings (one_for_all)", 1),
        ("/t/rest/f", "error", "restarted, with 1 of its siblings (rest_for_one)", 1),
        ("/t/rest/g", "shutdown", "restarted", 1),
        ("/t/pool/y", "error", "restarted", 1),
    ], "an end in order, of one that isn't to be restarted, is none; nor is an operator's stop"


async def test_a_transient_child_that_is_killed_is_restarted(ground: Ground) -> None:
    async with ground.node(tree(*kids("a", restart="transient"))) as system:
        await kill(system, "/t/a", "killed")
    (row,) = ground.rows(IncidentRow)
    assert (row.kind, row.text, row.action) == ("killed", "by itself", "restarted")


async def test_a_failed_restart_and_giving_up(ground: Ground) -> None:
    async with ground.node(tree(*kids("a"), intensity=2, period_s=60.0)) as system:
        failing["a"] = 100
        await system.ref("/t/a").tell(Die())
        with pytest.raises(TreeGaveUp):
            await system.idle()
    rows = ground.rows(IncidentRow)
    assert told(ground) == [
        ("/t/a", "error", "the restart failed", 1),
        ("/t/a", "error", "its restart failed, and was tried again", 1),
        ("/t/a", "error", "/t gave up: too many restarts", 0),
    ]
    assert [row.text for row in rows] == ["error", "a can't start", "a can't start"]
    assert "can't start" in rows[-1].traceback


async def test_escalation_is_on_record_on_each_floor(ground: Ground) -> None:
    inner = SupervisorSpec(id="s", intensity=0, children=kids("a"))
    async with ground.node(tree(inner)) as system:
        await kill(system, "/t/s/a")
    assert told(ground) == [
        ("/t/s/a", "error", "/t/s gave up: too many restarts", 0),
        ("/t/s", "shutdown", "restarted", 1),
    ]
    (first, second) = ground.rows(IncidentRow)
    assert (first.supervisor, second.supervisor) == ("/t/s", "/t")
    assert "/t/s/a was restarted more than 0 times in 5 s" in second.text


async def test_a_backoff(memory: MemoryGround, clock: VirtualRuntime) -> None:
    backoff = RestartBackoff(initial_s=2.5, jitter=0.0)
    spec = tree(*kids("a", "b"), strategy="one_for_all", restart_backoff=backoff)
    async with memory.node(spec, runtime=clock) as system:
        for _ in range(2):
            await system.ref("/t/a").tell(Die())
            await clock.settle()
        await clock.advance(2.5)
        await system.idle()
    assert actions(memory) == [
        "restarted, with 1 of its siblings (one_for_all)",
        "restarts in 2.5 s, with 1 of its siblings (one_for_all)",
    ]
    assert [row.at - 1_700_000_000 for row in memory.rows(IncidentRow)] == [0.0, 0.0]


class Quitter(Actor[None]):
    async def on_stop(self, reason: ExitReason) -> None:
        raise OSError("no way to stop")

    @handler
    def die(self, message: Die) -> None:
        self.stop()


async def test_an_on_stop_that_fails_is_the_reason(ground: Ground) -> None:
    async with ground.node(tree(("a", Quitter))) as system:
        await kill(system, "/t/a")
    (row,) = ground.rows(IncidentRow)
    assert (row.kind, row.error, row.text) == ("error", "OSError", "no way to stop")


# -- how much of it ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [1, 3])
async def test_the_newest_are_kept(ground: Ground, kept: int) -> None:
    async with ground.node(tree(*kids("a"), intensity=100), settings=Settings(incidents_kept=kept)) as system:
        for number in range(5):
            await kill(system, "/t/a", str(number))
            await system.idle()
            assert len(ground.rows(IncidentRow)) == min(number + 1, kept)
    rows = ground.rows(IncidentRow)
    assert [row.text for row in rows] == [str(number) for number in range(5)][-kept:]
    assert [row.id for row in rows] == list(range(1, 6))[-kept:]


async def test_their_numbers_go_on_in_the_next_life_and_a_lower_retention_is_swept(ground: Ground) -> None:
    spec = tree(*kids("a"), intensity=10_000)
    async with ground.node(spec) as system:
        incidents: Any = system.kernel.activator.incidents  # type: ignore[attr-defined]
        for number in range(1200):  # more than are swept in one commit
            incidents.record("/t", "/t/a", number, ExitReason.normal(), "restarted", charged=False)
        await system.idle()
    assert len(ground.rows(IncidentRow)) == 1200
    async with ground.node(spec, settings=Settings(incidents_kept=10)) as system:
        await system.idle()
        assert [row.id for row in ground.rows(IncidentRow)] == list(range(1191, 1201))
        await kill(system, "/t/a")
    assert [row.id for row in ground.rows(IncidentRow)] == list(range(1192, 1202))


async def test_a_config_file_says_how_many_are_kept(app: Path) -> None:
    (app / "bank.toml").write_text('[store]\nurl = "memory://"\n[node]\nincidents_kept = 7\n[supervisor]\nid = "t"\n')
    async with start("bank.toml") as system:
        assert system.kernel.settings.incidents_kept == 7
    async with start("bank.toml", settings=Settings(incidents_kept=8)) as system:
        assert system.kernel.settings.incidents_kept == 8


async def test_a_damaged_one_is_left_alone(ground: Ground) -> None:
    spec = tree(*kids("a"), intensity=2, period_s=3600.0)
    async with ground.node(spec) as system:
        for _ in range(2):
            await kill(system, "/t/a")
        crashed = ground.image()
    crashed.edit(IncidentRow, 1, charged=7)
    async with crashed.node(spec) as system:
        await kill(system, "/t/a")  # the second that counts
        with pytest.raises(TreeGaveUp):
            await kill(system, "/t/a")
    (damaged, *others) = crashed.rows(IncidentRow)
    assert damaged.charged == 7
    assert [row.id for row in others] == [2, 3, 4]


# -- the intensity across lives --------------------------------------------------------------------------------


async def test_after_a_crash_the_restarts_of_the_last_life_count(ground: Ground) -> None:
    inner = SupervisorSpec(id="s", intensity=2, period_s=3600.0, children=kids("b"))
    spec = tree(*kids("a"), inner, intensity=2, period_s=3600.0)
    async with ground.node(spec) as system:
        for _ in range(2):
            await kill(system, "/t/a")
        await kill(system, "/t/s/b")
        crashed = ground.image()
    async with crashed.node(spec) as system:
        events = Recorder(system)
        await kill(system, "/t/s/b")
        assert not events.of("supervisor.gave_up"), "each supervisor has its own"
        again = crashed.image()
    async with again.node(spec) as system:
        with pytest.raises(TreeGaveUp):
            await kill(system, "/t/a")


async def test_after_an_orderly_stop_they_are_forgiven(ground: Ground) -> None:
    spec = tree(*kids("a"), intensity=2, period_s=3600.0)
    for _ in range(3):
        async with ground.node(spec) as system:
            for _ in range(2):
                await kill(system, "/t/a")
    assert len(ground.rows(IncidentRow)) == 6


async def test_only_what_lies_within_the_period_counts(memory: MemoryGround, clock: VirtualRuntime) -> None:
    spec = tree(*kids("a"), intensity=1, period_s=10.0)
    async with memory.node(spec, runtime=clock) as system:
        await kill(system, "/t/a")
        await system.idle()
        crashed = memory.image()
    later = VirtualRuntime(epoch=clock.now() + 10.5)
    async with crashed.node(spec, runtime=later) as system:
        await kill(system, "/t/a")
        again = crashed.image()
    soon = VirtualRuntime(epoch=later.now() + 9.5)
    async with again.node(spec, runtime=soon) as system:
        with pytest.raises(TreeGaveUp):
            await kill(system, "/t/a")


async def test_a_supervisor_that_is_started_again_in_that_life_begins_anew(ground: Ground) -> None:
    inner = SupervisorSpec(id="s", intensity=1, period_s=3600.0, children=kids("b"))
    spec = tree(inner, intensity=100)
    async with ground.node(spec) as system:
        await kill(system, "/t/s/b")
        crashed = ground.image()
    async with crashed.node(spec) as system:
        events = Recorder(system)
        await kill(system, "/t/s/b")
        assert len(events.of("supervisor.gave_up")) == 1
        await kill(system, "/t/s/b")
        assert len(events.of("supervisor.gave_up")) == 1, "the last life's restarts count for its first start alone"


class Work(Message):
    pass


class Failing(Actor[None]):
    max_attempts = 4
    backoff = Backoff(initial_s=0.001, factor=1.0, jitter=0.0)

    @handler
    def work(self, message: Work) -> None:
        raise RuntimeError("as ever")

    @handler
    def hi(self, request: Hi) -> int:
        return 1


@pytest.mark.parametrize(("strict", "charges"), [(False, [1, 0, 0, 0]), (True, [1, 1, 1, 1])])
async def test_one_message_charges_once_in_strict_mode_each_attempt_does(
    ground: Ground, strict: bool, charges: list[int]
) -> None:
    spec = tree(("a", Failing), intensity=sum(charges), period_s=3600.0, strict=strict)
    async with ground.node(spec) as system:
        await system.ref("/t/a").tell(Work())
        await system.idle()
    assert [row.charged for row in ground.rows(IncidentRow)] == charges
    async with ground.node(tree(("a", Failing), intensity=sum(charges) - 1, strict=strict)) as system:
        await system.ref("/t/a").tell(Work())
        with pytest.raises(TreeGaveUp):
            await system.idle()


async def test_exits_that_were_not_charged_dont_count_in_the_next_life(ground: Ground) -> None:
    spec = tree(("a", Failing), intensity=2, period_s=3600.0)
    async with ground.node(spec) as system:
        await system.ref("/t/a").tell(Work())
        await system.idle()
        crashed = ground.image()
    async with crashed.node(spec) as system:
        await system.ref("/t/a").tell(Work())
        await system.idle()
        await system.ref("/t/a").tell(Work())
        with pytest.raises(TreeGaveUp):
            await system.idle()


async def test_an_attempt_of_the_next_life_isnt_charged_again(ground: Ground) -> None:
    slow = Backoff(initial_s=0.3, factor=1.0, jitter=0.0)
    spec = tree(ChildSpec(id="a", actor=Failing, backoff=slow, max_attempts=3), intensity=1, period_s=3600.0)
    async with ground.node(spec) as system:
        events = Recorder(system)
        await system.ref("/t/a").tell(Work())
        await events.until("actor.started", "/t/a")
        await system.kernel.commits.flush()
        crashed = ground.image()
    async with crashed.node(spec) as system:
        await system.idle()
        assert await system.ref("/t/a").ask(Hi()) == 1
    assert [row.charged for row in crashed.rows(IncidentRow)] == [1, 0, 0]
