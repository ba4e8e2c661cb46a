"""The findings of `check --against`: everything that the code at hand can't read, told before anything starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from grounds import Ground, SqliteGround
from upgrade_checks import TREE, Put, Shelf, brief, checked, child, message, put, state, tell

from greenroom import Aliases, ChildSpec, Settings, StartChild
from greenroom.persistence.store.checksums import seal
from greenroom.persistence.store.rows import ChildRow, DeadLetterRow, InboxRow, MessageRow, TimerRow
from greenroom.supervision.offline.upgrade_check import FINDINGS_MAX

# -- what can be read ------------------------------------------------------------------------------------------


async def test_nothing_is_wrong_with_what_this_code_has_written(ground: Ground) -> None:
    async with ground.node(TREE) as system:
        for address in ("/t/one", "/t/sign", "/t/pool/a", "/t/pool/b"):
            await system.ref(address).tell(Put(amount=1))
            await system.ref(address).tell(Put(amount=1), delay_s=3600)
        await system.ref("/t/guests").ask(StartChild(spec=ChildSpec(id="g", actor=Shelf)))
        await system.ref("/t/guests/g").tell(Put(amount=1))
        await system.idle()
    report = await checked(ground)
    assert (report.problems, report.remarks) == ([], [])
    assert report.rows["actor"] == 5
    assert report.rows["message"] == 4
    assert report.rows["child"] == 7


async def test_old_versions_old_names_and_defaults_can_be_read(ground: Ground) -> None:
    await put(
        ground,
        state("/t/one", "shelf", '{"pieces":3}'),
        state("/t/pool/a", "regal", '{"pieces":3}'),
        state("/t/pool/b", "shelf@2", "{}"),
        state("/t/sign", "sign", '{"whatever":1}'),
        message(1, "/t/one", "Lege", '{"$type":"Lege","amount":1}'),
    )
    report = await checked(ground, aliases=Aliases(actors={"regal": "shelf"}, messages={"Lege": "Put"}))
    assert report.problems == []
    assert brief(await checked(ground)) == [("/t/pool/a", "state", 1), ("/t/one", "message", 1)]


async def test_beside_a_running_node(disk: SqliteGround) -> None:
    async with disk.node(TREE) as system:
        await system.ref("/t/pool/a").tell(Put(amount=1))
        await system.idle()
        assert (await checked(disk)).rows["actor"] == 3
        await system.ref("/t/pool/a").tell(Put(amount=1))
        await system.idle()


# -- what can't --------------------------------------------------------------------------------------------------

PROBLEMS: dict[str, tuple[Any, str, str]] = {
    "another class": (
        state("/t/one", "rack@2"),
        "it is stored as 'rack', and the tree says 'shelf'",
        'If the class was renamed, write "rack" = "shelf" under [aliases.actors], or give it name = ',
    ),
    "a version to come": (
        state("/t/one", "shelf@3"),
        "it was written by newer code: its version is 3, and Shelf has state_version = 2",
        "Run that code again, or go back to a copy of the store from before it",
    ),
    "an upgrade that raises": (
        state("/t/one", "shelf", '{"stueck":3}'),
        "Shelf.upgrade raised for a state of version 1: KeyError: 'pieces'",
        "The stored state was left as it is. Mend Shelf.upgrade",
    ),
    "an upgrade to no state": (
        state("/t/one", "shelf", '{"pieces":"3"}'),
        "what Shelf.upgrade made of a state of version 1 is no Stock: Expected `int`, got `str` - at `$.count`",
        "It returned dict; let it return the current shape",
    ),
    "a state of another shape": (
        state("/t/one", state='{"count":[]}'),
        "it doesn't fit its type: Expected `int`, got `array` - at `$.count`",
        "Give new fields a default; or raise state_version and write an `upgrade`",
    ),
    "a state that is no JSON": (state("/t/one", "shelf", "{{"), "what is stored is no JSON", "Restore a backup"),
    "a version of an actor without state": (
        state("/t/sign", "sign@2"),
        "it was written by newer code: its version is 2, and Sign has state_version = 1",
        "Run that code again",
    ),
    "a state of nobody": (
        state("/t/on"),
        "nothing in the tree has this address",
        'Did you mean "/t/one"? Give a child that id (again); or delete what is stored: greenroom actors retire /t/on',
    ),
    "a state under another root": (state("/u/one"), "nothing in the tree has this address", 'Did you mean "/t/one"?'),
    "a state below an actor": (state("/t/one/two"), "nothing in the tree has this address", ""),
    "a key that is none": (state("/t/pool/a\n"), "nothing in the tree has this address", ""),
    "a state of a supervisor": (
        state("/t/pool"),
        "there is a supervisor at this address now",
        "Delete what is stored: greenroom actors retire /t/pool",
    ),
    "a tag without a handler": (
        message(7, "/t/one", "Pt", '{"$type":"Pt"}'),
        'upgrade_checks:Shelf has no handler for "Pt"',
        'Did you mean "Put"? Add one; or if the class was renamed, write "Pt" = "its new tag" under [aliases.messages]',
    ),
    "a body that doesn't fit": (
        message(7, "/t/pool/a", body='{"$type":"Put"}'),
        "a Put doesn't decode: Object missing required field `amount`",
        "Give new fields a default",
    ),
    "a message to nobody": (message(7, "/t/two"), "nothing in the tree has this address", "Give a child that id"),
    "a message to an actor in memory": (message(7, "/t/light", "Pt"), 'has no handler for "Pt"', "Add one"),
    "a message to a supervisor": (message(7, "/t"), "there is a supervisor at this address now", ""),
    "a message in the inbox": (tell(7, "/t/one", "Pt"), 'has no handler for "Pt"', "Add one"),
    "a timer": (
        seal(TimerRow("/t/one", "tick", 1.0, '{"every_s":1}', "Tick", "{}")),
        'has no handler for "Tick"',
        "Add one",
    ),
    "a child whose class is gone": (
        child("/t/guests/g", ChildSpec(id="g", actor="upgrade_checks:Gone")),
        'actor: "upgrade_checks:Gone": module "upgrade_checks" has no "Gone"',
        "Bring its class or arguments back; or forget it: greenroom actors delete /t/guests/g",
    ),
    "a child whose arguments don't fit": (
        child("/t/guests/g", ChildSpec(id="g", actor=Shelf, args={"size": 3})),
        "args.size: upgrade_checks:Shelf takes no such argument",
        "Bring its class or arguments back",
    ),
    "a child of another version": (
        child("/t/guests/g", None, text='{"kind":"actor","id":"g","actor":"a:B","colour":"red"}'),
        "its stored spec isn't one of this version",
        "greenroom actors delete /t/guests/g",
    ),
}


@pytest.mark.parametrize(("row", "why", "fix"), PROBLEMS.values(), ids=PROBLEMS.keys())
async def test_what_the_code_cannot_read(ground: Ground, row: Any, why: str, fix: str) -> None:
    await put(ground, row, state("/t/pool/fine"), message(99, "/t/pool/fine"))
    (problem,) = (await checked(ground)).problems
    assert problem.count == 1
    assert why in problem.why
    assert fix in problem.fix
    address = f"{row.supervisor}/{row.id}" if isinstance(row, ChildRow) else row.address
    assert problem.address == address
    wanted = {MessageRow: "7", InboxRow: "inbox:7", TimerRow: "tick"}.get(type(row), address)
    assert problem.example == wanted


@pytest.mark.parametrize("row", [state("/t/one"), message(7, "/t/pool/a"), tell(7, "/t/one")], ids=lambda row: row.type)
async def test_damage_is_found(ground: Ground, row: Any) -> None:
    await put(ground, row)
    ground.edit(type(row), row[0], type="Changed")
    (problem,) = (await checked(ground)).problems
    assert "its checksum doesn't fit" in problem.why
    assert "greenroom db verify" in problem.fix
    assert problem.address == row.address


async def test_the_damaged_record_of_a_child_takes_its_state_with_it(ground: Ground) -> None:
    await put(ground, child("/t/guests/g", ChildSpec(id="g", actor=Shelf)), state("/t/guests/g"))
    ground.edit(ChildRow, ("/t/guests", "g"), position=3)
    assert brief(await checked(ground)) == [("/t/guests/g", "child", 1), ("/t/guests/g", "state", 1)]


# -- many of them --------------------------------------------------------------------------------------------------


async def test_what_is_alike_is_one_line(ground: Ground) -> None:
    count = 10_000
    odd = [message(number, f"/t/pool/{number % 100}", "Odd", "{}") for number in range(1, count + 1)]
    noted: list[tuple[int, int]] = []
    await put(ground, *odd, state("/t/pool/x", "rack"), state("/t/pool/y", "rack"), state("/s/x"), state("/s/y"))
    report = await checked(ground, progress=lambda done, total: noted.append((done, total)))
    assert brief(report) == [("/s/*", "state", 2), ("/t/pool/*", "state", 2), ("/t/pool/*", "message", count)]
    assert [found.example for found in report.problems] == ["/s/x", "/t/pool/x", "1"]
    assert report.problems[0].fix.endswith("greenroom actors retire ADDRESS")
    assert noted[0] == (1000, count + 4)
    assert len(noted) == 10


async def test_reasons_without_end_are_counted_together(ground: Ground) -> None:
    count = FINDINGS_MAX + 50
    await put(ground, *(message(number, "/t/one", f"Odd{number}") for number in range(1, count + 1)))
    report = await checked(ground)
    assert len(report.problems) == FINDINGS_MAX + 1
    assert sum(found.count for found in report.problems) == count
    last = report.problems[-1]
    assert (last.address, last.what, last.count) == ("(others)", "message", 50)


# -- and the node agrees -------------------------------------------------------------------------------------------


async def test_a_node_parks_just_the_messages_that_were_told(ground: Ground) -> None:
    bodies: Sequence[tuple[str, str]] = [
        ("Put", '{"$type":"Put","amount":1}'),
        ("Put", '{"$type":"Put","amount":1,"more":2}'),
        ("Put", '{"amount":1}'),
        ("Put", '{"$type":"Pt","amount":1}'),
        ("Put", '{"$type":"Put","amount":"1"}'),
        ("Put", "[]"),
        ("Pt", '{"$type":"Pt"}'),
        ("Lege", '{"$type":"Lege","amount":1}'),
        ("Lege", '{"$type":"Lege"}'),
        ("", "{}"),
    ]
    places = ("/t/one", "/t/pool/a", "/t/sign")
    rows = [(place, *body) for place in places for body in bodies]
    await put(ground, *(message(number, *row) for number, row in enumerate(rows, 1)))
    aliases = Aliases(messages={"Lege": "Put"})
    report = await checked(ground, aliases=aliases)
    async with ground.node(TREE, settings=Settings(aliases=aliases)) as system:
        await system.idle()
    parked = ground.rows(DeadLetterRow)
    assert not ground.rows(MessageRow)
    assert sum(found.count for found in report.problems) == len(parked) == 18
    assert {int(found.example) for found in report.problems} <= {row.id for row in parked}
