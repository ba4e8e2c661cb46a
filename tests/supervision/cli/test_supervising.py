"""`greenroom actors stop|start|restart|delete` and `greenroom incidents`, beside a running node and without one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator

import pytest
from programs import Place, Running
from tally import Add, Crash

TREE = """
[[supervisor.children]]
id = "below"
[[supervisor.children.children]]
id = "two"
actor = "tally:Tally"
[[supervisor.children.children]]
id = "three"
actor = "tally:Tally"

[[supervisor.children]]
id = "crew"
strategy = "dynamic"

[[supervisor.children]]
id = "shaky"
strategy = "rest_for_one"
restart_backoff = {{ initial_s = 3600, max_s = 3600, jitter = 0 }}
intensity = {intensity}
[[supervisor.children.children]]
id = "fragile"
actor = "tally:Fragile"
[[supervisor.children.children]]
id = "after"
actor = "tally:Tally"
"""
BELOW = TREE.format(intensity=3)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("supervised"))
    place.write(children=BELOW)
    node = place.up()
    yield place
    node.stop()
    place.close()


def statuses(place: Place, prefix: str = "/t") -> dict[str, str]:
    return {actor["address"]: actor["status"] for actor in place.data("actors", "list", prefix)}


# -- beside a running node ---------------------------------------------------------------------------------


def test_stop_and_start(running: Place) -> None:
    running.tell(("/t/one", Add(amount=2)))
    assert running.total("/t/one") == 2
    done = running.shell("actors", "stop", "/t/one")
    assert done.stdout == ""
    assert "/t/one is stopped, until `greenroom actors start /t/one`" in done.stderr
    assert statuses(running)["/t/one"] == "stopped"
    assert running.data("actors", "stop", "/t/one") == {"address": "/t/one", "stopped": True, "kept": True, "with": []}
    running.tell(("/t/one", Add(amount=3)))
    assert "no actor at /t/one: it is stopped" in running.do("ask", "/t/one", "Total", code=1).stderr
    running.do("actors", "reset", "/t/one")
    assert statuses(running)["/t/one"] == "stopped", "the operator's word holds"
    assert running.data("actors", "start", "/t/one") == {"address": "/t/one", "started": True}
    assert running.total("/t/one") == 3
    assert "/t/one is running already" in running.do("actors", "start", "/t/one", code=1).stderr


def test_a_supervisor_is_stopped_with_all_below_it(running: Place) -> None:
    running.do("actors", "stop", "/t/below")
    assert set(statuses(running, "/t/below").values()) == {"stopped"}
    (root,) = running.data("tree")
    (below,) = [child for child in root["children"] if child["address"] == "/t/below"]
    assert [child["status"] for child in below["children"]] == ["stopped", "stopped"]
    for command in ("stop", "start", "restart", "delete"):
        done = running.do("actors", command, "/t/below/two", code=1)
        assert "/t/below is stopped, and all below it: start that first" in done.stderr
    assert "/t/below was started" in running.do("actors", "start", "/t/below").stderr
    assert set(statuses(running, "/t/below").values()) == {"up"}


def test_restart_keeps_state_and_mail(running: Place) -> None:
    running.tell(("/t/below/two", Add(amount=7)))
    assert running.total("/t/below/two") == 7
    before = running.data("actors", "show", "/t/below/two")["incarnation"]
    done = running.data("actors", "restart", "/t/below/two")
    assert done == {"address": "/t/below/two", "restarted": True, "with": []}
    assert running.data("actors", "show", "/t/below/two")["incarnation"] > before
    assert running.total("/t/below/two") == 7
    assert "/t/below was restarted" in running.do("actors", "restart", "/t/below").stderr
    assert running.total("/t/below/two") == 7


def test_delete(running: Place) -> None:
    refused = running.do("actors", "delete", "/t/below/three", code=1).stderr
    assert "/t/below/three is running: stop it first (greenroom actors stop /t/below/three)" in refused
    running.do("actors", "stop", "/t/below/three")
    done = running.do("actors", "delete", "/t/below/three")
    assert "forgotten; the tree names it, so the next start of the node has it again" in done.stderr
    listed = running.data("actors", "list", "/t/below")
    assert [actor["status"] for actor in listed if actor["address"] == "/t/below/three"] == ["stored"], "its state"
    for command in ("start", "stop", "restart", "delete"):
        refused = running.do("actors", command, "/t/below/three", code=1).stderr
        assert refused.startswith("greenroom: ChildNotFound: /t/below has no child 'three'. `WhichChildren`, or `green")


def test_children_of_a_template(running: Place) -> None:
    running.tell(("/t/tallies/a", Add(amount=1)))
    assert running.total("/t/tallies/a") == 1
    assert "/t/tallies/a has left memory" in running.do("actors", "stop", "/t/tallies/a").stderr
    assert statuses(running, "/t/tallies")["/t/tallies/a"] == "stored"
    assert "isn't in memory" in running.do("actors", "stop", "/t/tallies/a").stderr
    assert "comes with its next message" in running.do("actors", "start", "/t/tallies/a").stderr
    assert running.total("/t/tallies/a") == 1
    assert "comes with its next message" in running.do("actors", "restart", "/t/tallies/a").stderr
    assert running.total("/t/tallies/a") == 1
    assert "`greenroom actors retire`" in running.do("actors", "delete", "/t/tallies/a", code=1).stderr


def test_children_of_a_dynamic_supervisor(running: Place) -> None:
    spec = {"kind": "actor", "id": "joe", "actor": "tally:Tally"}
    started = running.do("ask", "/t/crew", "StartChild", json.dumps({"spec": spec}))
    assert json.loads(started.stdout) == "/t/crew/joe"
    for command in ("restart", "delete"):
        assert "joe" in running.do("actors", command, "/t/crew/joe", code=1).stderr
    assert statuses(running, "/t/crew")["/t/crew/joe"] == "up", "it wasn't stopped for that"
    assert "is forgotten; its state and mail stay" in running.do("actors", "stop", "/t/crew/joe").stderr
    assert "has no child 'joe'" in running.do("actors", "stop", "/t/crew/joe", code=1).stderr


def test_what_is_not_there(running: Place) -> None:
    for command in ("stop", "start", "restart", "delete"):
        refused = running.do("actors", command, "/t", code=1).stderr
        assert "/t is the root of the tree" in refused
        assert "stop the node instead" in refused
        assert "/t has no child 'nobody'" in running.do("actors", command, "/t/nobody", code=1).stderr
        assert "no actor at /t/one/x" in running.do("actors", command, "/t/one/x", code=1).stderr
        assert "no actor at /x" in running.do("actors", command, "/x", code=1).stderr
    running.do("actors", "stop", "/t/one", "--timeout-s", "0", code=2)


def test_one_that_waits_for_its_restart_and_its_incidents(running: Place) -> None:
    for _ in range(2):
        running.tell(("/t/shaky/fragile", Crash()))
    exits = running.data("incidents", "list", "/t/shaky")
    while len(exits) < 2:  # each command takes its time
        exits = running.data("incidents", "list", "/t/shaky")
    assert statuses(running, "/t/shaky") == {
        "/t/shaky": "up",
        "/t/shaky/fragile": "restarting",
        "/t/shaky/after": "stopped",
    }
    assert "being restarted" in running.do("actors", "start", "/t/shaky/fragile", code=1).stderr
    running.do("actors", "retire", "/t/shaky/fragile")  # its messages would do it again
    again = running.do("actors", "restart", "/t/shaky/fragile").stderr
    assert again == "/t/shaky/fragile was restarted, with /t/shaky/after, which waited for it\n"
    assert set(statuses(running, "/t/shaky").values()) == {"up"}
    assert [exit["action"] for exit in exits[:2]] == [
        "restarts in 3600 s, with 1 of its siblings (rest_for_one)",
        "restarted, with 1 of its siblings (rest_for_one)",
    ]
    assert {exit["supervisor"] for exit in exits} == {"/t/shaky"}
    first = exits[-1]
    assert (first["kind"], first["error"], first["text"]) == ("error", "ZeroDivisionError", "it broke for good")
    assert first["charged"] is True
    shown = running.do("incidents", "show", str(first["id"])).stdout
    assert 'raise ZeroDivisionError("it broke for good")' in shown
    table = running.do("incidents", "list", "/t", "--limit", "1")
    assert "ZeroDivisionError: it broke for good" in table.stdout
    assert "only the first 1 incidents are shown" in table.stderr
    assert "no incidents at or below /t/crew" in running.do("incidents", "list", "/t/crew").stderr
    assert "there is no incident 999" in running.do("incidents", "show", "999", code=1).stderr


# -- on the store of a stopped node --------------------------------------------------------------------------


def lived(place: Place, **changed: str) -> None:
    """Write the config, and have a node live on it until it is idle."""
    place.write(**changed)
    assert place.run("--until-idle", "--quiet").wait() == 0


@pytest.fixture
def rested(place: Place) -> Place:
    """A place where a node has run with all children."""
    lived(place, children=BELOW)
    return place


def test_stop_and_start_for_the_next_node(rested: Place) -> None:
    assert "/t/one is stopped" in rested.do("actors", "stop", "/t/one").stderr
    assert statuses(rested)["/t/one"] == "stopped"
    assert rested.data("actors", "show", "/t/one")["status"] == "stopped"
    (root,) = rested.data("tree", "--store", rested.url)
    assert [(child["address"], child["status"]) for child in root["children"]][:2] == [
        ("/t/one", "stopped"),
        ("/t/tallies", "planned"),
    ]
    assert "one  tally:Tally  stopped" in rested.do("tree").stdout
    rested.tell(("/t/one", Add(amount=3)))
    lived(rested, children=BELOW)
    (waiting,) = rested.data("messages", "list", "/t/one")
    assert waiting["body"]["amount"] == 3
    assert "/t/one starts with the next node" in rested.do("actors", "start", "/t/one").stderr
    assert statuses(rested)["/t/one"] == "stored"
    lived(rested, children=BELOW)
    assert rested.data("actors", "show", "/t/one")["state"] == {"total": 3}
    assert rested.data("messages", "list", "/t/one") == []


def test_children_that_left_the_tree(rested: Place) -> None:
    lived(rested)
    assert statuses(rested)["/t/below"] == "left"
    assert "below  one_for_one  left" in rested.do("tree").stdout
    rested.do("actors", "start", "/t/below")
    rested.tell(("/t/below/two", Add(amount=4)))
    lived(rested)
    assert rested.data("actors", "show", "/t/below/two")["state"] == {"total": 4}
    done = rested.do("actors", "delete", "/t/below")
    assert done.stderr == "/t/below is forgotten. Its state and mail stay in the store\n"
    with sqlite3.connect(rested.folder / "tally.db") as connection:
        rows = connection.execute("SELECT supervisor, id FROM greenroom_child ORDER BY 1, 2").fetchall()
    connection.close()
    assert not [row for row in rows if "below" in "/".join(row)]
    assert ("/t/shaky", "fragile") in rows


def test_without_a_node_it_is_refused_just_so(rested: Place) -> None:
    assert "no node runs on this store" in rested.do("actors", "restart", "/t/one", code=1).stderr
    for command in ("stop", "start", "delete"):
        assert "/t is the root of the tree" in rested.do("actors", command, "/t", code=1).stderr
        assert "no child nobody of /t" in rested.do("actors", command, "/t/nobody", code=1).stderr
        assert "is made from a template" in rested.do("actors", command, "/t/tallies/a", code=1).stderr
    with sqlite3.connect(rested.folder / "tally.db") as connection:
        connection.execute("UPDATE greenroom_child SET position = 77 WHERE id = 'one'")
    connection.close()
    assert statuses(rested)["/t/one"] == "damaged"
    for command in ("stop", "start"):
        assert "child /t, one: checksum" in rested.do("actors", command, "/t/one", code=3).stderr
    assert "/t/one is forgotten" in rested.do("actors", "delete", "/t/one").stderr
    assert statuses(rested)["/t/one"] == "stored"
    assert "next start of the node" in rested.do("actors", "delete", "/t/below").stderr


def test_a_child_whose_code_is_gone(place: Place) -> None:
    code = place.folder / "passing.py"
    code.write_text("from greenroom import Actor\nclass Guest(Actor[None]): ...\n")
    node = place.up()
    spec = {"kind": "actor", "id": "guest", "actor": "passing:Guest"}
    place.do("ask", "/t", "StartChild", json.dumps({"spec": spec}))
    node.stop()
    assert "guest  passing:Guest  stored" in place.do("tree").stdout
    code.unlink()
    node = place.up()
    assert "guest  passing:Guest  unusable" in place.do("tree").stdout
    node.stop()
    assert "/t/guest can't be restored; its mail waits" in node.log
    assert "/t/guest is forgotten" in place.do("actors", "delete", "/t/guest").stderr


def test_incidents_without_a_node_and_how_many_are_kept(place: Place) -> None:
    tree = TREE.format(intensity=100).replace("initial_s = 3600, max_s = 3600", "initial_s = 0, max_s = 0")
    place.write(node="incidents_kept = 2", children=tree)
    place.prepare()
    for _ in range(4):
        place.tell(("/t/shaky/fragile", Crash()))
    node: Running = place.up()
    while len(place.data("incidents", "list")) < 2 or place.data("incidents", "list")[0]["id"] < 4:
        pass  # each message fails again and again
    node.stop()
    assert "no node" not in place.do("incidents", "list").stderr
    kept = place.data("incidents", "list")
    assert len(kept) == 2
    assert kept[0]["id"] == kept[1]["id"] + 1
    assert "traceback" in place.data("incidents", "show", str(kept[0]["id"]))
