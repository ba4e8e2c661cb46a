"""The words of `check --diff` on a changed tree, and that a node then does just that."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from grounds import Ground, SqliteGround
from upgrade_checks import Put, Shelf, Sign, child, message, put, state

from greenroom import Aliases, ChildSpec, StartChild, SupervisorSpec, TerminateChild, WhichChildren
from greenroom.persistence.store.rows import ActorRow, ChildRow, MessageRow
from greenroom.supervision.offline.tree_diff import Change, Child, Left, Reordered, TreeDiff, diff_tree
from greenroom.supervision.spec.aliases import settle_aliases

SHELF, SIGN = "upgrade_checks:Shelf", "upgrade_checks:Sign"


def one(id: str, actor: Any = Shelf, **options: Any) -> ChildSpec:
    return ChildSpec(id=id, actor=actor, **options)


def top(*children: Any, id: str = "t", **flags: Any) -> SupervisorSpec:
    return SupervisorSpec(id=id, children=list(children), **flags)


def dynamic(id: str, **options: Any) -> SupervisorSpec:
    return SupervisorSpec(id=id, strategy="dynamic", template=one("x", **options))


async def run(ground: Ground, tree: SupervisorSpec) -> None:
    async with ground.node(tree) as system:
        await system.idle()


async def diff(ground: Ground, tree: SupervisorSpec, aliases: Aliases | None = None) -> TreeDiff:
    store = ground.store()
    await store.open_reader()
    try:
        return await diff_tree(store, tree, settle_aliases(aliases or Aliases(), tree))
    finally:
        await store.close()


async def test_the_same_tree_changes_nothing(ground: Ground) -> None:
    tree = top(one("a", args={}, shutdown=5), dynamic("pool"), top(one("c"), id="below"), strategy="rest_for_one")
    await run(ground, tree)
    found = await diff(ground, tree)
    assert found.is_empty
    assert found == TreeDiff(recorded=True, unchanged=5)


async def test_a_store_without_a_run(ground: Ground) -> None:
    await put(ground)
    found = await diff(ground, top(one("a")))
    assert not found.recorded
    assert found.new == []


async def test_children_that_are_new(ground: Ground) -> None:
    await run(ground, top(one("a")))
    found = await diff(ground, top(one("a"), one("b", Sign), top(one("d"), top(one("e"), id="f"), id="c")))
    assert found.new == [Child(address="/t/b", actor=SIGN), Child(address="/t/c", actor=None, below=3)]
    assert not found.is_empty
    assert (found.changed, found.reordered, found.unchanged) == ([], [], 2)


async def test_children_that_leave_with_what_they_keep(ground: Ground) -> None:
    tree = top(one("a"), one("b"), dynamic("pool"), top(one("c"), id="below"))
    async with ground.node(tree) as system:
        for address in ("/t/b", "/t/pool/x", "/t/pool/y", "/t/below/c"):
            await system.ref(address).tell(Put(amount=1))
            await system.ref(address).tell(Put(amount=1), delay_s=3600)
        await system.idle()
    # neighbours in the order of addresses, which stay
    await put(ground, state("/t/pool-2"), state("/t/poo"), message(999, "/t/pool-2"))
    found = await diff(ground, top(one("a")))
    assert found.left == [
        Left(address="/t/b", actor=SHELF, states=1, messages=1),
        Left(address="/t/below", actor=None, below=1, states=1, messages=1),
        Left(address="/t/pool", actor=None, states=2, messages=2),
    ]
    assert (found.new, found.changed, found.reordered, found.unchanged) == ([], [], [], 2)


async def test_children_that_left_before_and_come_back(ground: Ground) -> None:
    tree = top(one("a"), one("b"), top(one("c"), id="below"))
    await run(ground, tree)
    await run(ground, top(one("a")))
    found = await diff(ground, top(one("a")))
    assert found.is_empty
    assert found.left_before == ["/t/b", "/t/below"]
    found = await diff(ground, top(one("a"), one("b", max_attempts=3)))
    assert found.back == [Child(address="/t/b", actor=SHELF)]
    assert found.changed == [Change(address="/t/b", fields={"max_attempts": (None, 3)})]
    assert found.left_before == ["/t/below"]


async def test_children_that_came_at_run_time_stay(ground: Ground) -> None:
    tree = top(one("a"), SupervisorSpec(id="guests", strategy="dynamic"))
    async with ground.node(tree) as system:
        await system.ref("/t/guests").ask(StartChild(spec=one("g")))
        await system.ref("/t").ask(StartChild(spec=top(one("leaf"), id="branch")))
        await system.ref("/t").ask(StartChild(spec=one("b", restart="transient")))
        await system.ref("/t").ask(TerminateChild(id="a"))
        await system.idle()
    found = await diff(ground, tree)
    assert found.is_empty
    assert (found.started, found.stopped) == (3, ["/t/a"])
    found = await diff(ground, top(one("a"), SupervisorSpec(id="guests", strategy="dynamic"), one("b")))
    fields = {"restart": ("transient", "permanent"), "status": ("started", "planned")}
    assert found.changed == [Change(address="/t/b", fields=fields)]
    assert found.started == 2


CHANGES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "class": (one("a"), one("a", Sign), {"actor": (SHELF, SIGN)}),
    "option": (one("a"), one("a", max_attempts=9), {"max_attempts": (None, 9)}),
    "option taken back": (one("a", capacity=9), one("a"), {"capacity": (9, None)}),
    "shutdown": (one("a"), one("a", shutdown="infinity"), {"shutdown": (5.0, "infinity")}),
    "whole numbers are numbers": (one("a", shutdown=5), one("a", shutdown=5.0), {}),
    "backoff": (
        one("a", backoff={"factor": 2.0}),
        one("a", backoff={"factor": 3.0, "max_s": 1.0}),
        {"backoff.factor": (2.0, 3.0), "backoff.max_s": (None, 1.0)},
    ),
    "errors": (
        one("a", retry_on=(OSError,)),
        one("a", retry_on=(OSError, ValueError)),
        {"retry_on": (("OSError",), ("OSError", "ValueError"))},
    ),
    "strategy": (top(id="a"), top(id="a", strategy="one_for_all"), {"strategy": ("one_for_one", "one_for_all")}),
    "template": (
        dynamic("a", max_attempts=2),
        dynamic("a", actor=Sign),
        {"template.actor": (SHELF, SIGN), "template.max_attempts": (2, None)},
    ),
    "an actor becomes a supervisor": (one("a"), top(id="a"), {"kind": ("actor", "supervisor")}),
    "a supervisor becomes an actor": (dynamic("a"), one("a"), {"kind": ("supervisor", "actor")}),
}


@pytest.mark.parametrize(("before", "after", "fields"), CHANGES.values(), ids=CHANGES.keys())
async def test_a_change_is_told_field_by_field(ground: Ground, before: Any, after: Any, fields: dict[str, Any]) -> None:
    await run(ground, top(before))
    found = await diff(ground, top(after))
    assert found.changed == ([Change(address="/t/a", fields=fields)] if fields else [])
    assert (found.new, found.left) == ([], [])
    msgspec.json.encode(found)


async def test_the_roots_own_flags(ground: Ground) -> None:
    await run(ground, top(one("a")))
    found = await diff(ground, top(one("a"), intensity=9))
    assert found.changed == [Change(address="/t", fields={"intensity": (3, 9)})]


async def test_another_root(ground: Ground) -> None:
    async with ground.node(top(one("a"))) as system:
        await system.ref("/t/a").tell(Put(amount=1))
        await system.idle()
    found = await diff(ground, top(one("a"), id="u"))
    assert found.new == [Child(address="/u", actor=None, below=1)]
    assert found.left == [Left(address="/t", actor=None, below=1, states=1)]


async def test_the_start_order(ground: Ground) -> None:
    await run(ground, top(one("a"), one("b"), one("c"), one("d")))
    found = await diff(ground, top(one("new"), one("c"), one("a"), one("d")))
    assert found.reordered == [Reordered(supervisor="/t", before=["a", "c", "d"], after=["c", "a", "d"])]
    found = await diff(ground, top(one("new"), one("a"), one("c"), one("d")))
    assert found.reordered == [], "those that come and go change nobody else's order"


async def test_partitions_are_told_by_their_template(ground: Ground) -> None:
    def shards(count: int, **options: Any) -> SupervisorSpec:
        return SupervisorSpec(id="shards", strategy="partition", partitions=count, template=one("x", **options))

    await run(ground, top(shards(2)))
    assert (await diff(ground, top(shards(2)))).is_empty
    found = await diff(ground, top(shards(3, capacity=7)))
    assert found.changed == [Change(address="/t/shards", fields={"template.capacity": (None, 7), "partitions": (2, 3)})]
    assert found.new == [Child(address="/t/shards/2", actor=SHELF)]


async def test_a_renamed_class_is_no_change_under_an_alias(ground: Ground) -> None:
    await run(ground, top(one("a")))
    (row,) = [row for row in ground.rows(ChildRow) if row.id == "a"]
    ground.edit(ChildRow, ("/t", "a"), sealed=True, spec=row.spec.replace(SHELF, "old:Rack"))
    assert (await diff(ground, top(one("a")))).changed == [
        Change(address="/t/a", fields={"actor": ("old:Rack", SHELF)})
    ]
    assert (await diff(ground, top(one("a")), Aliases(actors={"old:Rack": "shelf"}))).is_empty


async def test_records_that_cannot_be_read(ground: Ground) -> None:
    await run(ground, top(one("a"), one("b")))
    ground.edit(ChildRow, ("/t", "a"), sealed=True, spec='{"kind":"actor","id":"a","colour":"red"}')
    ground.edit(ChildRow, ("/t", "b"), position=7)  # damaged: a node starts without it
    await put(ground, child("/t/c", None, "planned", text="{"))
    found = await diff(ground, top(one("a"), one("b")))
    assert found.changed == [
        Change(address="/t/a", fields={"spec": ("can't be read by this version", "the config file's")})
    ]
    assert found.new == [Child(address="/t/b", actor=SHELF)]
    assert found.left == [Left(address="/t/c", actor=None)]


async def test_a_node_does_what_was_told(ground: Ground) -> None:
    async with ground.node(top(one("a"), one("b"), one("c"))) as system:
        await system.ref("/t/b").tell(Put(amount=1))
        await system.ref("/t/b").tell(Put(amount=1), delay_s=3600)
        await system.idle()
    tree = top(one("c"), one("a", capacity=7), one("d"))
    found = await diff(ground, tree)
    assert [child.address for child in found.new] == ["/t/d"]
    assert [(child.address, child.states, child.messages) for child in found.left] == [("/t/b", 1, 1)]
    assert found.reordered == [Reordered(supervisor="/t", before=["a", "c"], after=["c", "a"])]
    async with ground.node(tree) as system:
        await system.idle()
        children = await system.ref("/t").ask(WhichChildren())
    assert {child.id: child.status for child in children} == {
        "a": "running",
        "b": "stopped",
        "c": "running",
        "d": "running",
    }
    assert [row.address for row in ground.rows(ActorRow) if row.address == "/t/b"] == ["/t/b"]
    assert [row.address for row in ground.rows(MessageRow)] == ["/t/b"]
    assert (await diff(ground, tree)).is_empty


async def test_beside_a_running_node(disk: SqliteGround) -> None:
    async with disk.node(top(one("a"))) as system:
        await system.idle()
        assert (await diff(disk, top(one("a")))).is_empty
