"""`greenroom run`: the node dies, the work goes on."""

from __future__ import annotations

import os
import select
import signal

import pytest
from programs import Place
from tally import Add, Exit, Hang, Kill, Vanish


def test_it_is_started_again_and_goes_on(place: Place) -> None:
    run = place.up()
    place.tell(("/t/one", Add(amount=1)))
    place.kill_node()
    assert "the node was killed by SIGKILL; it starts again (9 of 10 respawns left within 60 s)" in run.wait_for(
        "SIGKILL"
    )
    run.wait_for("/t is up: boot 2")
    place.tell(("/t/one", Add(amount=1)))
    assert place.total("/t/one") == 2
    run.stop()


def test_too_many_deaths(place: Place) -> None:
    place.write(node="respawn_intensity = 1")
    run = place.up()
    place.kill_node()
    run.wait_for("/t is up: boot 2")
    place.kill_node()
    assert run.wait() == 70
    report = run.log[run.log.index("the node died more than 1 times within 60 s") :]
    assert report.count("killed by SIGKILL after") == 2


def test_flags_go_before_the_file(place: Place) -> None:
    place.write(node="respawn_intensity = 5")
    run = place.up("--respawn-intensity", "0")
    place.kill_node()
    assert run.wait() == 70


def test_a_message_that_kills_the_process_is_parked_and_its_neighbours_arent(place: Place) -> None:
    place.prepare()
    for n in range(20):
        place.tell(("/t/one" if n % 2 else f"/t/tallies/{n}", Kill() if n == 9 else Add(amount=1)))
    run = place.run("--until-idle")
    assert run.wait() == 0
    assert run.log.count("killed by SIGKILL") == 4  # in company, and three times alone
    (letter,) = place.data("dead", "list")
    assert (letter["type"], letter["cause"], letter["attempts"]) == ("Kill", "crash", 3)
    assert place.data("actors", "show", "/t/one")["state"] == {"total": 9}
    totals = [actor["state"]["total"] for actor in place.data("actors", "list", "/t/tallies")]
    assert totals == [1] * 10


@pytest.mark.parametrize(("where", "cause"), [("child", "failed"), ("callback", "crash")])
def test_a_message_that_exits_in_a_task_is_parked(place: Place, where: str, cause: str) -> None:
    """In a child task it is a failure of the message. In a callback of the loop it is taken for a crash."""
    place.prepare()
    place.tell(("/t/one", Exit(where=where)), ("/t/tallies/2", Add(amount=1)))
    run = place.run("--until-idle")
    assert run.wait() == 0
    assert ("it starts again" in run.log) == (cause == "crash")
    (letter,) = place.data("dead", "list")
    assert (letter["type"], letter["cause"], letter["attempts"]) == ("Exit", cause, 3)
    assert place.data("actors", "show", "/t/tallies/2")["state"] == {"total": 1}


def test_a_message_that_kills_before_it_is_on_disk(place: Place) -> None:
    """Taken from the inbox and handled at once: the row isn't written when the process dies."""
    run = place.up()
    place.tell(("/t/one", Kill()))
    run.wait_for("Kill to /t/one is a dead letter now (crash, 3 attempts)")
    place.tell(("/t/one", Add(amount=1)))
    assert place.total("/t/one") == 1
    run.stop()


def test_a_request_that_kills_isnt_asked_again(place: Place) -> None:
    run = place.up()
    done = place.do("ask", "/t/one", "Die", "--timeout-s", "20", code=1)
    assert "the node died while the request was being handled" in done.stderr
    run.stop()
    assert run.log.count("killed by SIGKILL") == 1


def test_a_handler_that_blocks_the_loop_is_parked_with_its_stack(place: Place) -> None:
    place.write(node="hang_s = 0.4")
    run = place.up()
    place.tell(("/t/tallies/h", Hang()))
    run.wait_for("the node was ended by its watchdog (exit 75)")
    run.wait_for("Hang to /t/tallies/h is a dead letter now (hang, 3 attempts)")
    place.tell(("/t/tallies/h", Add(amount=1)))
    assert place.total("/t/tallies/h") == 1
    run.stop()
    (letter,) = place.data("dead", "list")
    shown = place.do("dead", "show", str(letter["id"])).stdout
    assert "/t/tallies/h was handling Hang" in shown
    assert "in wait_for_nothing" in shown


def test_a_process_that_ends_as_if_it_were_done_isnt_done(place: Place) -> None:
    run = place.up()
    place.tell(("/t/one", Vanish()))
    run.wait_for("the node was ended without a reason (exit 0)")
    run.wait_for("is a dead letter now (crash, 3 attempts)")
    run.stop()


def test_the_node_ends_with_its_parent(place: Place) -> None:
    run = place.up()
    run.process.kill()
    assert run.wait() == -signal.SIGKILL  # waits for the node's end of the pipe as well
    assert "the parent process is gone: the node stops" in run.log
    assert "/t has stopped" in run.log


def test_a_node_that_hangs_ends_with_its_parent(place: Place) -> None:
    place.write(node="stop_timeout_s = 0.3")
    run = place.up()
    place.do("send", "/t/one", "Hang")
    pid = place.pid()
    run.process.kill()
    assert run.wait() == -signal.SIGKILL
    assert "the tree didn't stop within 0.3 s" in run.log
    for _ in range(2000):  # it has said its last word, and is on its way out
        if _ended(pid):
            return
        os.sched_yield()
        select.select([], [], [], 0.005)
    pytest.fail(f"process {pid} is still there")


def _ended(pid: int) -> bool:
    """Gone, or a zombie that nobody has buried."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().split()[2] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_node_that_hangs_is_killed_when_it_is_to_stop(place: Place) -> None:
    place.write(node="stop_timeout_s = 0.3")
    run = place.up()
    place.tell(("/t/one", Hang()))
    done = place.do("actors", "list", "--json")
    assert f"the node (process {place.pid()}) did not answer within 2 s" in done.stderr
    assert '"/t/one"' in done.stdout
    run.signal()
    assert run.wait() == 1
    assert "the node was killed by SIGKILL while it stopped" in run.log
