"""`greenroom run`: how it ends."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from processes import program
from programs import Place
from tally import Add, Burst, Crash, Fail


def test_until_idle_does_what_waits_and_ends(stopped: Place) -> None:
    stopped.tell(("/t/one", Burst(count=500, to="/t/tallies/a")), ("/t/tallies/a", Add(amount=7)))
    run = stopped.run("--until-idle")
    assert run.wait() == 0
    summary = run.wait_for("idle: ")
    turns = re.search(r"idle: (\d+) turns, 0 failed, 0 pending, 0 retrying, 0 dead letters, \d+ commits", summary)
    assert turns is not None
    assert 502 <= int(turns[1]) <= 510  # an actor's activation counts as well
    assert "/t has stopped" in run.wait_for("has stopped")
    assert stopped.data("actors", "show", "/t/tallies/a")["state"] == {"total": 507}
    assert stopped.data("messages", "list") == []


def test_until_idle_with_dead_letters_is_done_and_says_so(stopped: Place) -> None:
    stopped.tell(("/t/one", Fail(why="no such account")), ("/t/nobody", Add(amount=1)))
    run = stopped.run("--until-idle")
    assert run.wait() == 0
    assert "LookupError: no such account" in run.log
    assert "2 messages became dead letters: `greenroom dead list` shows them" in run.log
    assert {letter["cause"] for letter in stopped.data("dead", "list")} == {"rejected", "no_actor"}


def test_until_idle_doesnt_wait_for_delayed_messages(stopped: Place) -> None:
    stopped.do("send", "/t/one", "Add", '{"amount": 7}', "--delay-s", "3600")
    assert stopped.run("--until-idle").wait() == 0
    (message,) = stopped.data("messages", "list")
    assert (message["where"], message["body"]) == ("mailbox", {"$type": "Add", "amount": 7})


def test_quiet_says_nothing(place: Place) -> None:
    run = place.run("--until-idle", "--quiet")
    assert run.wait() == 0
    assert run.log == ""


def test_sigterm_stops_in_order(place: Place) -> None:
    run = place.up()
    run.signal(signal.SIGTERM)
    run.wait_for("stopping the node")
    run.wait_for("/t has stopped")
    assert run.wait() == 0


def test_a_signal_while_it_starts(place: Place) -> None:
    run = place.run()
    run.signal(signal.SIGINT)
    code = run.wait()
    # But for 0, the interpreter had hardly begun. Right at its own start it takes Ctrl-C for an error of its own.
    own = ("Fatal Python error: init_", "Could not import runpy module")
    assert code in (0, 130, -signal.SIGINT) or (code == 1 and run.log.startswith(own)), run.log
    place.prepare()


def test_ctrl_c_waits_for_the_running_turn_and_a_second_one_doesnt(place: Place) -> None:
    run = place.up()
    place.do("send", "/t/one", "Linger")
    run.signal(signal.SIGINT)
    run.wait_for("stopping the node")
    run.signal(signal.SIGINT)
    assert run.wait() == 1
    assert "the node was killed by SIGKILL while it stopped" in run.log


def test_a_tree_that_doesnt_stop_in_time_is_ended(place: Place) -> None:
    place.write(node="stop_timeout_s = 0.2")
    run = place.up()
    place.do("send", "/t/one", "Linger")
    run.signal(signal.SIGTERM)
    assert run.wait() == 1
    assert "the tree didn't stop within 0.2 s (node.stop_timeout_s)" in run.log


def test_a_second_node_names_the_first(place: Place) -> None:
    place.up()
    second = place.run()
    assert second.wait() == 3
    assert f"tally.db is in use by process {place.pid()}" in second.log


def test_flags_that_are_no_number_are_refused_and_not_left_out(place: Place) -> None:
    run = place.run("--hang-s", "nan", "--stop-timeout-s", "inf")
    assert run.wait() == 2
    assert 'node.hang_s: found "nan", expected a number of seconds above 0' in run.log
    assert 'node.stop_timeout_s: found "inf"' in run.log


def test_mistakes_in_the_config_are_all_told(place: Place) -> None:
    place.write(node='hang_s = "soon"', supervisor='strategy = "one_for_none"')
    run = place.run()
    assert run.wait() == 2
    assert "node.hang_s" in run.log
    assert "supervisor.strategy" in run.log
    assert "starts again" not in run.log


def test_no_config_at_all(place: Place) -> None:
    missing = place.run("missing.toml")
    assert missing.wait() == 2
    assert "there is no such file" in missing.log


def test_a_store_of_the_future(stopped: Place) -> None:
    import sqlite3

    connection = sqlite3.connect(stopped.folder / "tally.db")
    connection.execute("PRAGMA user_version=99")
    connection.close()
    run = stopped.run()
    assert run.wait() == 3
    assert "schema version 99" in run.log
    assert "schema version 99" in stopped.shell("db", "status", code=3).stderr


def test_a_start_that_fails_isnt_tried_again(place: Place) -> None:
    place.write(children='[[supervisor.children]]\nid = "no"\nactor = "tally:NoStart"')
    run = place.run()
    assert run.wait() == 1
    assert "/t/no did not start: ConnectionError: nobody is there" in run.log
    assert 'raise ConnectionError("nobody is there")' in run.log
    assert "starts again" not in run.log


def test_a_tree_that_gives_up_leaves_a_report(place: Place) -> None:
    place.write(supervisor="intensity = 2", children='[[supervisor.children]]\nid = "fragile"\nactor = "tally:Fragile"')
    place.prepare()
    place.tell(*[("/t/fragile", Crash())] * 4)
    run = place.run()
    assert run.wait() == 70
    report = run.log[run.log.index("TreeGaveUp") :]
    assert "/t gave up" in report
    assert "/t/fragile exited: ZeroDivisionError: it broke for good" in report
    assert report.count('raise ZeroDivisionError("it broke for good")') == 1
    assert "(the same traceback as above)" in report
    assert "starts again" not in run.log
    assert len(place.data("messages", "list")) == 4  # a broken deployment loses nothing


def test_the_folder_of_the_config_file_is_importable_and_the_working_directory_isnt(place: Place) -> None:
    config = place.folder / "config"
    config.mkdir()
    (place.folder / "greenroom.toml").rename(config / "greenroom.toml")
    (config / "tally.py").write_bytes(Path(program("tally.py")).read_bytes())
    (place.folder / "queue.py").write_text("raise RuntimeError('this is not the queue you are looking for')")
    assert place.run("config/greenroom.toml", "--until-idle").wait() == 0
    assert (config / "tally.db").exists()
