"""State versions: states that older code has stored, taken up by the code of now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from grounds import Ground, SqliteGround, pool, tree
from upgrade_actors import ALICE, NEW, OLD, Account, Book, Cents, Earn, Konto, account_with, log, stored, with_old_state

from greenroom import Actor, Backoff, ChildSpec, ExitReason, StartFailed, StoreFull, handler
from greenroom.persistence.store.rows import ActorRow, MessageRow
from greenroom.testing import Recorder


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    log.clear()
    yield


async def test_an_old_state_is_upgraded_and_stored_anew_with_the_first_message(ground: Ground) -> None:
    old = await with_old_state(ground)
    async with ground.node(NEW) as system:
        await system.idle()
        assert ground.rows(ActorRow) == [old], "a start alone changes nothing"
        assert await system.ref(ALICE).ask(Cents()) == 500, "and a request that changes nothing will do"
        await system.idle()
        assert stored(ground) == ("account@3", {"cents": 500, "currency": "EUR"})
    assert log == [({"balance": 5}, 1)]
    async with ground.node(NEW) as system:
        await system.ref(ALICE).tell(Earn(cents=1))
        await system.idle()
    assert stored(ground) == ("account@3", {"cents": 501, "currency": "EUR"})
    assert len(log) == 1


async def test_it_is_told_the_version_that_is_stored(ground: Ground) -> None:
    await with_old_state(ground)
    ground.edit(ActorRow, ALICE, sealed=True, type="account@2", state='{"cents":7}')
    async with ground.node(NEW) as system:
        assert await system.ref(ALICE).ask(Cents()) == 7
    assert log == [({"cents": 7}, 2)]


async def test_under_a_template(ground: Ground) -> None:
    await with_old_state(ground, tree(pool(Konto)), "/t/pool/alice")
    async with ground.node(tree(pool(Account))) as system:
        await system.idle()
        assert not log
        await system.ref("/t/pool/alice").tell(Earn(cents=1))
        await system.idle()
        assert await system.ref("/t/pool/bob").ask(Cents()) == 0
    states = {row.address: (row.type, row.state) for row in ground.rows(ActorRow)}
    assert states["/t/pool/alice"] == ("account@3", '{"cents":501,"currency":"EUR"}')
    assert states["/t/pool/bob"] == ("account@3", '{"cents":0,"currency":"EUR"}')
    assert log == [({"balance": 5}, 1)]


async def test_a_failed_turn_goes_back_to_the_upgraded_state(ground: Ground) -> None:
    await with_old_state(ground)
    async with ground.node(NEW) as system:
        await system.ref(ALICE).tell(Earn(cents=1, fail=True))
        await system.idle()
        assert await system.ref(ALICE).ask(Cents()) == 501
    assert stored(ground) == ("account@3", {"cents": 501, "currency": "EUR"})
    assert len(log) == 1


async def test_a_message_of_old_code_meets_the_upgraded_state(ground: Ground) -> None:
    """In a commit of their own each, so that the message is a row when the node dies."""
    await with_old_state(ground)
    async with ground.node(OLD) as system:
        await system.ref(ALICE).tell(Earn(cents=500), delay_s=3600)
        image = ground.image()
    (row,) = image.rows(MessageRow)
    image.edit(MessageRow, row.id, sealed=True, due=None)
    async with image.node(NEW) as system:
        await system.idle()
    assert stored(image) == ("account@3", {"cents": 1000, "currency": "EUR"})


async def test_an_upgrade_may_return_an_instance_and_change_what_it_got(ground: Ground) -> None:
    def as_instance(cls: Any, state: Any, version: int) -> Any:
        return Book(cents=state.pop("balance") * 100)

    await with_old_state(ground)
    cls = account_with(upgrade=classmethod(as_instance))
    async with ground.node(tree(("alice", cls))) as system:
        assert await system.ref(ALICE).ask(Cents()) == 500
    assert stored(ground) == ("account@3", {"cents": 500, "currency": "EUR"})


async def test_without_an_upgrade_defaults_fill_what_is_new(ground: Ground) -> None:
    class WithNote(msgspec.Struct):
        balance: int = 0
        note: str = "none"

    class Noted(Actor[WithNote]):
        name = "account"
        state_version = 2

        @handler
        def earn(self, message: Earn) -> None: ...

    await with_old_state(ground)
    async with ground.node(tree(("alice", Noted))) as system:
        await system.ref(ALICE).tell(Earn())
        await system.idle()
    assert stored(ground) == ("account@2", {"balance": 5, "note": "none"})


async def test_on_start_sees_the_upgraded_state_and_may_change_it(ground: Ground) -> None:
    class Bonus(Account):
        name = "account"

        async def on_start(self) -> None:
            self.state.cents += 1

    await with_old_state(ground)
    async with ground.node(tree(("alice", Bonus))) as system:
        await system.idle()
    assert stored(ground) == ("account@3", {"cents": 501, "currency": "EUR"})


async def test_on_stop_alone_writes_nothing(ground: Ground) -> None:
    class Polite(Account):
        name = "account"

        async def on_stop(self, reason: ExitReason) -> None:
            log.append(("stopped", 0))

    old = await with_old_state(ground)
    async with ground.node(tree(("alice", Polite))) as system:
        await system.idle()
    assert log == [({"balance": 5}, 1), ("stopped", 0)]
    assert ground.rows(ActorRow) == [old]
    async with ground.node(tree(("alice", Polite))) as system:
        await system.ref(ALICE).tell(Earn(cents=1))
        await system.idle()
    assert stored(ground)[1]["cents"] == 501


async def test_a_deployment_that_does_not_start_can_be_undone(ground: Ground) -> None:
    class Broken(Actor[None]):
        async def on_start(self) -> None:
            raise RuntimeError("no")

    class Polite(Account):
        name = "account"

        async def on_stop(self, reason: ExitReason) -> None: ...

    old = await with_old_state(ground)
    with pytest.raises(StartFailed, match="broken"):
        async with ground.node(tree(("alice", Polite), Broken)):
            pytest.fail("it started")
    assert [row for row in ground.rows(ActorRow) if row.address == ALICE] == [old]
    async with ground.node(OLD) as system:
        await system.idle()


async def test_a_restart_before_the_first_message(ground: Ground) -> None:
    """The instance is new, the row is still the old one, and the first message writes it."""

    class Nervous(Account):
        name = "account"

        @handler
        def earn(self, message: Earn) -> None:
            self.state.cents += message.cents
            if message.fail and self.turn.attempt == 1:
                raise RuntimeError("once")

    await with_old_state(ground)
    async with ground.node(tree(("alice", Nervous))) as system:
        await system.ref(ALICE).tell(Earn(cents=1, fail=True))
        await system.idle()
    assert stored(ground) == ("account@3", {"cents": 501, "currency": "EUR"})
    assert len(log) == 1


async def test_a_restart_for_a_siblings_sake_writes_nothing(ground: Ground) -> None:
    class Sibling(Actor[None]):
        backoff = Backoff(initial_s=0.001, factor=1.0, jitter=0.0)

        @handler
        def earn(self, message: Earn) -> None:
            if self.turn.attempt == 1:
                raise RuntimeError("once")

    old = await with_old_state(ground)
    async with ground.node(tree(("alice", Account), Sibling, strategy="one_for_all")) as system:
        events = Recorder(system)
        await system.ref("/t/sibling").tell(Earn())
        await system.idle()
        assert len([event for event in events.of("actor.started") if event.address == ALICE]) == 1, "it was restarted"
        assert [row for row in ground.rows(ActorRow) if row.address == ALICE] == [old]
        assert await system.ref(ALICE).ask(Cents()) == 500
    assert [row.type for row in ground.rows(ActorRow) if row.address == ALICE] == ["account@3"]
    assert len(log) == 1


async def test_an_upgrade_that_was_not_committed_is_made_again(ground: Ground) -> None:
    """The disk is full at the commit that would have stored it: the tree is reset from the old row."""
    await with_old_state(ground)
    async with ground.node(NEW) as system:
        events = Recorder(system)
        await system.idle()
        ground.plan.fail(StoreFull("no space"))
        with pytest.raises(StoreFull):
            await system.ref(ALICE).tell(Earn(cents=1))
        await events.until("node.recovered")
        await system.ref(ALICE).tell(Earn(cents=2))
        await system.idle()
    assert stored(ground)[0] == "account@3"
    assert stored(ground)[1]["cents"] == 502
    assert log == [({"balance": 5}, 1)] * 2


async def test_in_the_commit_of_a_held_transaction(disk: SqliteGround) -> None:
    class Writer(Account):
        name = "account"

        @handler
        async def earn(self, message: Earn) -> None:
            async with self.transaction():
                pass

    await with_old_state(disk)
    async with disk.node(tree(("alice", Writer))) as system:
        await system.ref(ALICE).tell(Earn(cents=1))
        await system.idle()
    assert stored(disk) == ("account@3", {"cents": 500, "currency": "EUR"})


async def test_nested_and_keyed_shapes_are_read_as_any_row(ground: Ground) -> None:
    """JSON has text keys only: numbers as keys, and dates, come back as their types."""

    class Day(msgspec.Struct):
        sums: dict[int, list[Book]] = {}

    class Diary(Actor[Day]):
        name = "account"
        state_version = 2

        @classmethod
        def upgrade(cls, state: Any, version: int) -> Any:  # noqa: ARG003
            return {"sums": {"7": [{"cents": state["balance"]}, Book(cents=1)]}}

        @handler
        def cents(self, request: Cents) -> int:
            return sum(book.cents for book in self.state.sums[7])

    await with_old_state(ground)
    async with ground.node(tree(("alice", Diary))) as system:
        assert await system.ref(ALICE).ask(Cents()) == 6


# -- actors without a state ------------------------------------------------------------------------------------


class Bell(Actor[None]):
    name = "account"
    state_version = 2

    @handler
    def earn(self, message: Earn) -> None: ...


async def test_an_actor_that_lost_its_state_keeps_what_is_stored(ground: Ground) -> None:
    await with_old_state(ground)
    async with ground.node(tree(("alice", Bell))) as system:
        await system.ref(ALICE).tell(Earn())
        await system.idle()
    assert stored(ground) == ("account@2", {"balance": 5})


async def test_an_actor_that_gets_a_state_upgrades_from_null(ground: Ground) -> None:
    class Silent(Actor[None]):
        name = "account"

        @handler
        def earn(self, message: Earn) -> None: ...

    def from_nothing(cls: Any, state: Any, version: int) -> Any:
        assert state is None
        return Book(cents=1)

    async with ground.node(tree(("alice", Silent))) as system:
        await system.ref(ALICE).tell(Earn())
        await system.idle()
    assert stored(ground) == ("account", None)
    cls = account_with(upgrade=classmethod(from_nothing))
    async with ground.node(tree(("alice", cls))) as system:
        assert await system.ref(ALICE).ask(Cents()) == 1


async def test_in_memory_there_is_nothing_to_upgrade(ground: Ground) -> None:
    await with_old_state(ground)
    async with ground.node(tree(ChildSpec(id="alice", actor=Account, durable=False))) as system:
        assert await system.ref(ALICE).ask(Cents()) == 0
    assert stored(ground) == ("account", {"balance": 5})
    assert not log
