"""Looking at live actors beside a running node: their turns, where they are stuck; suspending them."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grounds import SqliteGround, tree
from patience import patience
from processes import communicate, program
from programs import ENVIRONMENT, Place
from stuck import Enter
from tally import Add, Burst, Fail, Tally

from greenroom.supervision.node import traces

CHILDREN = """
[[supervisor.children]]
id = "stuck"
actor = "stuck:Stuck"
shutdown = "brutal_kill"

[[supervisor.children]]
id = "slow"
actor = "stuck:Slow"
shutdown = "brutal_kill"
"""


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("watched"))
    place.write(children=CHILDREN)
    node = place.up()
    yield place
    node.stop()
    place.close()


class Following:
    """`greenroom actors trace`, in a process of its own."""

    def __init__(self, place: Place, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "greenroom", "actors", "trace", *arguments],
            cwd=place.folder,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert "following" in self.note()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def note(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.readline()

    def end(self) -> tuple[int, str]:
        """Its exit code, and what else it said on stdout."""
        out, _ = communicate(self.process)
        return self.process.returncode, out

    def __enter__(self) -> Following:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        communicate(self.process)


# -- trace --------------------------------------------------------------------------------------------------


def test_turns_are_followed_live_until_ctrl_c(watched: Place) -> None:
    with Following(watched, "/t/tallies/live") as following:
        watched.tell(("/t/tallies/live", Add(amount=1)))
        first = following.line()
        assert "Add " in first
        assert "finished" in first
        assert "state changed" in first
        watched.tell(("/t/tallies/live", Fail(why="x")))
        second = following.line()
        assert "Fail" in second
        assert "rejected" in second
        assert "LookupError" in second
        watched.tell(("/t/tallies/live", Burst(count=3, to="/t/tallies/other")))
        assert "3 sent" in following.line()
        following.process.send_signal(signal.SIGINT)
        assert following.end() == (130, "")


def test_so_many_turns_as_json_a_line_each(watched: Place) -> None:
    with Following(watched, "/t/tallies/json", "--count", "2", "--json") as following:
        watched.tell(*[("/t/tallies/json", Add(amount=1)) for _ in range(5)])
        code, out = following.end()
    assert code == 0
    turns: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    assert [turn["type"] for turn in turns] == ["Add", "Add"]
    assert turns[0]["address"] == "/t/tallies/json"
    assert {"began", "uid", "attempt", "outcome", "duration_ms", "sends", "state_changed", "mailbox"} <= set(turns[0])


def test_for_so_long(watched: Place) -> None:
    done = watched.do("actors", "trace", "/t/one", "--for", "0.3")
    assert done.stdout == ""
    assert "following /t/one" in done.stderr


def test_more_turns_than_a_reply_holds_all_arrive(watched: Place) -> None:
    with Following(watched, "/t/tallies/flood", "--count", "1300", "--json") as following:
        watched.tell(("/t/one", Burst(count=1300, to="/t/tallies/flood")))
        code, out = following.end()
    assert code == 0
    assert len({json.loads(line)["uid"] for line in out.splitlines()}) == 1300


async def test_what_was_dropped_is_said(disk: SqliteGround, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that keeps few turns, in this process."""
    monkeypatch.setattr(traces, "KEPT_MAX", 3)
    async with disk.node(tree(Tally)) as system:
        following = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "greenroom", "actors", "trace", "/t/tally", "--store", disk.url),
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert following.stderr is not None
        try:
            async with patience():
                assert b"following" in await following.stderr.readline()
                for _ in range(50):
                    system.ref("/t/tally").tell(Add(amount=1))
                dropped = await following.stderr.readline()
                assert b"turns were dropped" in dropped
                assert 10 < int(dropped.split()[0]) < 50
        finally:
            following.kill()
            await following.wait()


def test_what_cant_be_followed(watched: Place, stopped: Place) -> None:
    assert "no actor at /t/nobody" in watched.do("actors", "trace", "/t/nobody", code=1).stderr
    assert "no node runs" in stopped.do("actors", "trace", "/t/one", code=1).stderr
    assert "at least 1" in watched.do("actors", "trace", "/t/one", "--count", "0", code=2).stderr
    assert "more than 0" in watched.do("actors", "trace", "/t/one", "--for", "0", code=2).stderr


def test_it_goes_on_when_the_node_is_started_again(place: Place) -> None:
    run = place.up()
    with Following(place, "/t/one") as following:
        place.tell(("/t/one", Add(amount=1)))
        assert "Add" in following.line()
        place.kill_node()
        run.wait_for("/t is up: boot 2")
        assert "following again" in following.note()
        place.tell(("/t/one", Fail(why="y")))
        assert "rejected" in following.line()
    run.stop()


# -- suspend and resume ---------------------------------------------------------------------------------------


def test_suspend_and_resume(watched: Place) -> None:
    address = "/t/tallies/held"
    watched.tell((address, Add(amount=1)))
    assert watched.total(address) == 1
    assert "is suspended" in watched.do("actors", "suspend", address).stderr
    watched.do("send", address, "Add", '{"amount": 2}')
    assert watched.do("ask", address, "greenroom.GetState").stdout == '{\n  "total": 1\n}\n'
    shown = watched.data("actors", "show", address)
    assert (shown["status"], shown["mailbox"], shown["state"]) == ("suspended", 1, {"total": 1})
    (listed,) = watched.data("actors", "list", address)
    assert listed["status"] == "suspended"
    assert "did not answer" in watched.do("ask", address, "Total", "--timeout-s", "0.2", code=1).stderr
    assert watched.data("actors", "resume", address) == {"address": address, "resumed": True}
    assert watched.total(address) == 3
    assert "isn't suspended" in watched.do("actors", "resume", address).stderr


def test_suspension_needs_a_node_and_an_actor(watched: Place, stopped: Place) -> None:
    for command in ("suspend", "resume"):
        assert "no node runs" in stopped.do("actors", command, "/t/one", code=1).stderr
        assert "no actor at /t/nobody" in watched.do("actors", command, "/t/nobody", code=1).stderr


def test_a_suspended_actor_can_be_reset(watched: Place) -> None:
    address = "/t/tallies/cured"
    watched.tell((address, Add(amount=1)))
    assert watched.total(address) == 1
    watched.do("actors", "suspend", address)
    watched.do("actors", "reset", address)
    assert watched.total(address) == 0


# -- show -------------------------------------------------------------------------------------------------------


def wait_until_handling(place: Place, address: str) -> dict[str, Any]:
    """The command's view of the actor, once its handler is in there."""
    while True:
        shown: dict[str, Any] = place.data("actors", "show", address)
        if shown.get("handling"):
            return shown


def test_the_stack_of_a_stuck_handler(watched: Place) -> None:
    watched.tell(("/t/stuck", Enter()))
    shown = wait_until_handling(watched, "/t/stuck")
    assert shown["handling"] == "Enter"
    assert shown["started"] <= shown["since"]
    handler, inner, innermost, event = shown["stack"]
    file = program("stuck.py")
    assert (handler["file"], handler["function"], handler["source"]) == (file, "Stuck.enter", "await self.go_in()")
    assert (inner["file"], inner["function"], inner["source"]) == (file, "Stuck.go_in", "await wait_for_ever()")
    assert (innermost["function"], innermost["source"]) == ("wait_for_ever", "await asyncio.Event().wait()")
    lines = Path(file).read_text().splitlines()
    assert lines[innermost["line"] - 1].strip() == innermost["source"]
    assert event["function"] == "Event.wait"
    text = watched.do("actors", "show", "/t/stuck").stdout
    assert "handling: Enter" in text
    assert f'  File "{file}", line {handler["line"]}, in Stuck.enter\n    await self.go_in()\n' in text
    assert text.index("in Stuck.enter") < text.index("in Stuck.go_in") < text.index("in wait_for_ever")


def test_the_stack_goes_through_asynchronous_generators(watched: Place) -> None:
    watched.tell(("/t/slow", Enter()))
    shown = wait_until_handling(watched, "/t/slow")
    assert [frame["function"] for frame in shown["stack"]][-2:] == ["wait_for_ever", "Event.wait"]
    assert shown["stack"][0]["function"] == "Slow.enter"


def test_who_does_nothing_has_no_stack(watched: Place) -> None:
    shown = watched.data("actors", "show", "/t/one")
    assert shown["stack"] == []
    assert shown["handling"] is None
    assert shown["since"] is None
    assert "stack" not in watched.do("actors", "show", "/t/one").stdout
