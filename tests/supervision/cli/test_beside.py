"""Commands beside a running node."""

from __future__ import annotations

import json
import re

from programs import Place
from tally import Add, Linger


def test_send_is_taken(running: Place) -> None:
    done = running.shell("send", "/t/tallies/send", "Add", '{"amount": 2}')
    assert "Add to /t/tallies/send was taken" in done.stderr
    assert done.stdout == ""
    assert json.loads(running.shell("ask", "/t/tallies/send", "Total").stdout) == 2
    sent = running.data("send", "/t/tallies/send", "Add", '{"$type": "Add", "amount": 1}')
    assert sent == {"address": "/t/tallies/send", "type": "Add", "taken": True}
    assert running.total("/t/tallies/send") == 3


def test_what_nobody_can_handle_is_refused_and_kept(running: Place) -> None:
    for address, kind, body, why, cause in (
        ("/t/nobody", "Add", '{"amount": 1}', "no actor at /t/nobody", "no_actor"),
        ("/t/tallies/x", "Ad", "{}", "did you mean 'Add'?", "unknown_type"),
        ("/t/tallies/y", "Add", '{"amount": "much"}', "Expected `int`, got `str`", "undecodable"),
    ):
        done = running.do("send", address, kind, body, code=1)
        assert why in done.stderr
        assert "kept as a dead letter" in done.stderr
        (letter,) = running.data("dead", "list", address)
        assert letter["cause"] == cause


def test_a_supervisor_is_no_place_for_a_message(running: Place) -> None:
    done = running.do("send", "/t", "Add", '{"amount": 1}', code=1)
    assert "/t is a supervisor, and takes no Add. Send it to an actor below /t: `greenroom tree` shows" in done.stderr
    assert "alias" not in done.stderr


def test_the_same_key_with_another_message(running: Place) -> None:
    running.do("send", "/t/tallies/key", "Add", '{"amount": 1}', "--key", "k")
    running.do("send", "/t/tallies/key", "Add", '{"amount": 1}', "--key", "k")
    done = running.do("send", "/t/tallies/key", "Add", '{"amount": 2}', "--key", "k", code=1)
    assert "KeyConflict" in done.stderr
    assert running.total("/t/tallies/key") == 1
    (letter,) = running.data("dead", "list", "/t/tallies/key")
    assert letter["cause"] == "rejected"


def test_a_request_that_fails_shows_why(running: Place) -> None:
    done = running.do("ask", "/t/tallies/w", "Wonder", code=1)
    assert "ArithmeticError: it doesn't add up" in done.stderr
    assert 'raise ArithmeticError("it doesn\'t add up")' in done.stderr  # the traceback
    assert "no actor at /t/nobody" in running.do("ask", "/t/nobody", "Total", code=1).stderr
    assert "Tota" in running.do("ask", "/t/one", "Tota", code=1).stderr


def test_a_request_that_nobody_answers_in_time(running: Place) -> None:
    running.tell(("/t/tallies/busy", Linger(seconds=2.0)))
    done = running.do("ask", "/t/tallies/busy", "Total", "--timeout-s", "0.3", code=1)
    # Command and node both watch the time, and either may be the one that says so: the node has some of it left.
    assert re.search(r"did not answer (Total )?within 0\.\d+ s", done.stderr), done.stderr


def test_the_living_are_listed(running: Place) -> None:
    running.tell(("/t/tallies/alive", Add(amount=1)), ("/t/tallies/alive too", Add(amount=1)))
    assert (running.total("/t/tallies/alive"), running.total("/t/tallies/alive too")) == (1, 1)
    actors = {actor["address"]: actor for actor in running.data("actors", "list")}
    assert actors["/t"]["kind"] == "supervisor"
    assert actors["/t"]["status"] == "up"
    alive = running.data("actors", "show", "/t/tallies/alive")
    assert (alive["status"], alive["state"], alive["mailbox"]) == ("up", {"total": 1}, 0)
    (root,) = running.data("tree", "--limit", "1")
    assert root["status"] == "up"
    tallies = root["children"][1]
    assert len(tallies["children"]) == 1
    assert tallies["hidden"] >= 1
    assert "more" in running.do("tree", "--limit", "1").stdout
    (bare,) = running.data("tree", "--store", running.url)
    assert bare["children"][0]["address"] == "/t/one"


def test_dead_letters_beside_the_node(running: Place) -> None:
    for why in ("a", "b", "c"):
        running.do("send", "/t/tallies/d", "Fail", json.dumps({"why": why}))
    assert running.total("/t/tallies/d") == 0
    first, second, third = (letter["id"] for letter in reversed(running.data("dead", "list", "/t/tallies/d")))
    assert running.data("dead", "requeue", str(first), str(first)) == {"requeued": 1}
    assert running.total("/t/tallies/d") == 0
    again = running.data("dead", "list", "/t/tallies/d")
    assert [letter["text"] for letter in again] == ["a", "c", "b"]
    assert "there is no dead letter" in running.do("dead", "requeue", str(first), code=1).stderr
    assert running.data("dead", "discard", str(second), str(third)) == {"discarded": 2}
    assert running.data("dead", "discard", "--all", "--address", "/t/tallies/d") == {"discarded": 1}
    assert running.data("dead", "list", "/t/tallies/d") == []


def test_reset_and_retire_beside_the_node(running: Place) -> None:
    running.tell(("/t/tallies/r", Add(amount=5)))
    assert running.total("/t/tallies/r") == 5
    running.do("actors", "reset", "/t/tallies/r")
    assert running.total("/t/tallies/r") == 0
    running.do("send", "/t/tallies/r", "Add", '{"amount": 5}', "--delay-s", "3600")
    assert running.data("actors", "retire", "/t/tallies/r")["messages"] == 1
    assert running.data("messages", "list", "/t/tallies/r") == []
    assert "state" not in running.data("actors", "show", "/t/tallies/r")
    assert running.total("/t/tallies/r") == 0
    assert "keeps nothing in the store" in running.do("actors", "reset", "/t", code=1).stderr
    for command in ("reset", "retire"):
        for address in ("/t/nobody-ever", "/t/tallies/nobody-ever"):
            assert re.search("nothing is stored|no actor at", running.do("actors", command, address, code=1).stderr)
    assert "with 0 messages" in running.do("actors", "retire", "/t/tallies/r").stderr


def test_the_status_names_the_node(running: Place) -> None:
    status = running.data("db", "status")
    assert status["running"] is True
    assert status["node_pid"] == running.pid()
    assert running.data("db", "verify")["damaged"] == []
