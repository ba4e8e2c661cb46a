"""Commands on a store on which no node runs."""

from __future__ import annotations

import sqlite3

import pytest
from programs import Place
from tally import Add, Fail


@pytest.fixture
def worked(stopped: Place) -> Place:
    """Where a node has worked: two actors with a state, a delayed message, two dead letters."""
    stopped.tell(("/t/one", Add(amount=3)), ("/t/tallies/a", Add(amount=4)))
    stopped.tell(("/t/one", Fail(why="first")), ("/t/tallies/a", Fail(why="second")))
    stopped.do("send", "/t/tallies/a", "Add", '{"amount": 5}', "--delay-s", "3600")
    assert stopped.run("--until-idle").wait() == 0
    return stopped


def test_what_is_stored_is_listed(worked: Place) -> None:
    actors = {actor["address"]: actor for actor in worked.data("actors", "list")}
    assert set(actors) == {"/t/one", "/t/tallies/a"}
    assert actors["/t/one"]["state"] == {"total": 3}
    assert actors["/t/one"]["status"] == "stored"
    assert [actor["address"] for actor in worked.data("actors", "list", "/t/tallies")] == ["/t/tallies/a"]
    assert worked.data("actors", "list", "/t/tall") == []
    letters = worked.data("dead", "list")
    assert [letter["text"] for letter in letters] == ["second", "first"]  # newest first
    assert [letter["text"] for letter in worked.data("dead", "list", "/t/one")] == ["first"]
    (message,) = worked.data("messages", "list")
    assert message["due"] > 0
    assert worked.data("messages", "list", "/t/one") == []
    assert worked.data("messages", "show", str(message["id"])) == message
    shown = worked.data("actors", "show", "/t/tallies/a")
    assert (shown["messages"], shown["dead_letters"]) == (1, 1)


def test_tables_are_for_people(worked: Place) -> None:
    assert "/t/tallies/a" in worked.do("actors", "list").stdout
    assert "LookupError: second" in worked.do("dead", "list").stdout
    assert '"total": 3' in worked.do("actors", "show", "/t/one").stdout
    letter = worked.data("dead", "list", "/t/one")[0]
    assert "raise LookupError(message.why)" in worked.do("dead", "show", str(letter["id"])).stdout
    assert "/t/tallies/a" in worked.do("messages", "list").stdout


def test_a_listing_that_is_cut_says_so(worked: Place) -> None:
    done = worked.do("dead", "list", "--limit", "1", "--json")
    assert done.stdout.count('"id"') == 1
    assert "only the first 1 dead letters are shown" in done.stderr
    assert "only the first 1 actors are shown" in worked.do("actors", "list", "--limit", "1").stderr


def test_the_tree_comes_from_config_and_store(worked: Place) -> None:
    (root,) = worked.data("tree")
    assert (root["address"], root["kind"], root["strategy"]) == ("/t", "supervisor", "one_for_one")
    one, tallies = root["children"]
    assert (one["address"], one["status"], one["actor"]) == ("/t/one", "stored", "tally:Tally")
    assert [child["address"] for child in tallies["children"]] == ["/t/tallies/a"]
    shown = worked.do("tree")
    assert "tallies  dynamic  of tally:Tally" in shown.stdout
    assert "no node runs on this store" in shown.stderr
    (bare,) = worked.data("tree", "--store", worked.url)
    assert [child["address"] for child in bare["children"]] == ["/t/one", "/t/tallies"]


def test_the_tree_before_there_is_a_store(place: Place) -> None:
    shown = place.do("tree")
    assert "one  tally:Tally" in shown.stdout
    assert "no store yet" in shown.stderr


def test_dead_letters_come_back_without_their_attempts(worked: Place) -> None:
    letter = worked.data("dead", "list", "/t/one")[0]
    assert worked.data("dead", "requeue", str(letter["id"])) == {"requeued": 1}
    (message,) = worked.data("messages", "list", "/t/one")
    assert message["body"] == {"$type": "Fail", "why": "first"}
    assert message["uid"] == letter["uid"]
    assert message["attempts"] == 0
    assert message["id"] > letter["id"]
    assert worked.run("--until-idle").wait() == 0
    (again,) = worked.data("dead", "list", "/t/one")
    assert (again["attempts"], again["id"]) == (1, message["id"])


def test_all_dead_letters_of_one_address(worked: Place) -> None:
    assert worked.data("dead", "requeue", "--all", "--address", "/t/one") == {"requeued": 1}
    assert [letter["text"] for letter in worked.data("dead", "list")] == ["second"]
    assert worked.data("dead", "discard", "--all") == {"discarded": 1}
    assert worked.data("dead", "list") == []
    assert worked.data("dead", "discard", "--all") == {"discarded": 0}


def test_one_missing_letter_changes_nothing(worked: Place) -> None:
    known = worked.data("dead", "list")[0]["id"]
    for command in ("requeue", "discard"):
        done = worked.do("dead", command, str(known), "999", code=1)
        assert "there is no dead letter 999; nothing was changed" in done.stderr
    assert len(worked.data("dead", "list")) == 2
    worked.do("dead", "show", "999", code=1)
    worked.do("messages", "show", "999", code=1)


def test_reset_and_retire(worked: Place) -> None:
    worked.do("actors", "reset", "/t/one")
    assert worked.data("actors", "retire", "/t/tallies/a") == {
        "address": "/t/tallies/a",
        "retired": True,
        "messages": 1,
    }
    assert worked.data("actors", "list") == []
    assert worked.data("messages", "list") == []
    for command in ("reset", "retire"):
        assert "nothing is stored of /t/one" in worked.do("actors", command, "/t/one", code=1).stderr
    assert "nothing is known of /t/two" in worked.do("actors", "show", "/t/two", code=1).stderr
    run = worked.up()
    assert worked.total("/t/one") == 0  # it starts afresh; without the reset this would be damage
    run.stop()


def test_a_message_waits_in_the_inbox_for_the_next_node(stopped: Place) -> None:
    done = stopped.do("send", "/t/one", "Add", '{"amount": 2}', "--key", "k", "--priority", "3")
    assert "no node runs, the next one takes it in" in done.stderr
    (message,) = stopped.data("messages", "list")
    assert (message["id"], message["where"], message["key"], message["priority"]) == ("inbox:1", "inbox", "k", 3)
    assert stopped.data("messages", "show", "inbox:1") == message
    stopped.do("send", "/t/one", "Add", '{"amount": 2}', "--key", "k")
    assert stopped.run("--until-idle").wait() == 0
    assert stopped.data("actors", "show", "/t/one")["state"] == {"total": 2}  # one key, one message


def test_nobody_answers(stopped: Place) -> None:
    assert "no node runs on this store" in stopped.do("ask", "/t/one", "Total", code=1).stderr


def test_damage_is_found_and_shown(worked: Place) -> None:
    assert worked.data("db", "verify")["damaged"] == []
    connection = sqlite3.connect(worked.folder / "tally.db")
    connection.execute("UPDATE greenroom_actor SET state = '{\"total\":1000000}' WHERE address = '/t/one'")
    connection.execute("UPDATE greenroom_dead_letter SET address = x'fffe' WHERE text = 'first'")
    connection.commit()
    connection.close()
    done = worked.do("db", "verify", "--json", code=3)
    assert '"table": "greenroom_actor"' in done.stdout
    assert "2 of " in done.stderr
    (one, _) = worked.data("actors", "list")
    assert one["status"] == "damaged"
    damaged = worked.data("dead", "list")[1]
    assert "damage" in damaged
    assert "checksum" in worked.do("dead", "requeue", str(damaged["id"]), code=3).stderr
    worked.do("dead", "discard", str(damaged["id"]))


def test_the_state_of_the_store(worked: Place) -> None:
    status = worked.data("db", "status")
    assert status["running"] is False
    assert status["node_pid"] is None
    assert status["engine"] == "sqlite"
    assert isinstance(status["wal_reset_bug"], bool)
    assert status["rows_dead_letter"] == 2
    assert "rows_dead_letter: 2" in worked.do("db", "status").stdout
