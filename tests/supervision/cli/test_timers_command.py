"""`greenroom timers list` and the timers of `actors show`, beside a running node and without one."""

from __future__ import annotations

import sqlite3

import pytest
from programs import Place
from waker import Plan, Wake

TREE = """
[[supervisor.children]]
id = "waker"
actor = "waker:Waker"

[[supervisor.children]]
id = "light"
actor = "waker:Waker"
durable = false
"""
W, LIGHT = "/t/waker", "/t/light"


@pytest.fixture
def planned(place: Place) -> Place:
    """Where a node has run whose actors have scheduled something."""
    place.write(children=TREE)
    place.prepare()
    place.tell((W, Plan(every_s=3600)), (W, Plan(cron="0 12 * * *", name="noon")))
    assert place.run("--until-idle").wait() == 0
    return place


def test_without_a_node(planned: Place) -> None:
    tick, noon = planned.data("timers", "list")
    assert (tick["address"], tick["name"], tick["rule"]) == (W, "Wake", "every 3600 s")
    assert (tick["type"], tick["body"]) == ("Wake", {"$type": "Wake", "label": "up"})
    assert (noon["name"], noon["rule"], noon["due"] % 86_400) == ("noon", "cron 0 12 * * * (UTC)", 43_200)
    assert planned.data("timers", "list", W) == [tick, noon]
    assert planned.data("timers", "list", "/t/one") == []
    shown = planned.data("actors", "show", W)["timers"]
    assert [(timer["name"], timer["due"]) for timer in shown] == [("Wake", tick["due"]), ("noon", noon["due"])]


def test_tables_are_for_people(planned: Place) -> None:
    assert "every 3600 s" in planned.do("timers", "list").stdout
    assert "  noon  cron 0 12 * * * (UTC)" in planned.do("actors", "show", W).stdout
    assert "no timers" in planned.do("timers", "list", "/t/one").stderr
    cut = planned.do("timers", "list", "--limit", "1")
    assert "only the first 1 timers are shown" in cut.stderr


def test_a_damaged_row_is_shown(planned: Place) -> None:
    with sqlite3.connect(planned.folder / "tally.db") as connection:
        connection.execute("UPDATE greenroom_timer SET rule = 'x' WHERE name = 'noon'")
    connection.close()
    _, noon = planned.data("timers", "list")
    assert noon["rule"] == "x"
    assert "checksum" in noon["damage"]


def test_retired_with_its_actor(planned: Place) -> None:
    planned.do("actors", "retire", W)
    assert planned.data("timers", "list") == []


def test_beside_a_node(place: Place) -> None:
    """Those that have no rows are shown as well, and what is stashed."""
    place.write(children=TREE)
    node = place.up()
    place.tell((LIGHT, Plan(every_s=3600)), (LIGHT, Wake()), (W, Plan(every_s=1800)), (W, Wake()))
    for address, rule in ((LIGHT, "every 3600 s"), (W, "every 1800 s")):
        place.do("ask", address, "greenroom.GetState")
        shown = place.data("actors", "show", address)
        assert [timer["rule"] for timer in shown["timers"]] == [rule]
        assert shown["stashed"] == 1
    node.stop()
