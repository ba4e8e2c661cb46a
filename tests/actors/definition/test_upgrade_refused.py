"""States that can't be brought to the code of now: the actor doesn't start, and its row stays as it was."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from grounds import Ground, pool, tree
from upgrade_actors import ALICE, NEW, OLD, Cents, Earn, Konto, account_with, with_old_state

from greenroom import Actor, StartFailed, StateError
from greenroom.actors.definition.stored_state import read_stored
from greenroom.actors.messages.aliases import Aliases
from greenroom.persistence.store.rows import ActorRow, DeadLetterRow


def raising(cls: Any, state: Any, version: int) -> Any:
    return state["amount"]


def forgetful(cls: Any, state: Any, version: int) -> Any:
    state["cents"] = 1


def misshapen(cls: Any, state: Any, version: int) -> Any:
    return {"cents": "5"}


def unstorable(cls: Any, state: Any, version: int) -> Any:
    return {"cents": asyncio.sleep}


def unchanged(cls: Any, state: Any, version: int) -> Any:
    return state


BAD = {
    "raises": (raising, "Other.upgrade raised for a state of version 1: KeyError: 'amount'. The stored state was left"),
    "returns nothing": (forgetful, "is no Book: Expected `object`, got `null`. It returned None; let it return"),
    "returns another shape": (misshapen, "Expected `int`, got `str` - at `$.cents`"),
    "returns no data": (unstorable, "It returned dict"),
    "returns what it got": (unchanged, "missing required field `cents`"),
}


@pytest.mark.parametrize(("upgrade", "why"), BAD.values(), ids=BAD.keys())
async def test_an_upgrade_that_fails_keeps_the_actor_from_starting(ground: Ground, upgrade: Any, why: str) -> None:
    old = await with_old_state(ground)
    cls = account_with(upgrade=classmethod(upgrade))
    for _ in range(2):
        with pytest.raises(StartFailed) as caught:
            async with ground.node(tree(("alice", cls))):
                pytest.fail("it started")
        assert "StateError" in str(caught.value)
        assert why in str(caught.value)
        assert ground.rows(ActorRow) == [old]
    async with ground.node(NEW) as system:
        assert await system.ref(ALICE).ask(Cents()) == 500


async def test_in_a_pool_the_messages_are_parked_and_the_row_stays(ground: Ground) -> None:
    old = await with_old_state(ground, tree(pool(Konto)), "/t/pool/alice")
    cls = account_with(upgrade=classmethod(raising), max_attempts=2)
    async with ground.node(tree(pool(cls))) as system:
        await system.ref("/t/pool/alice").tell(Earn(cents=1))
        await system.ref("/t/pool/bob").tell(Earn(cents=2))
        await system.idle()
        assert await system.ref("/t/pool/bob").ask(Cents()) == 2
    assert old in ground.rows(ActorRow)
    (letter,) = ground.rows(DeadLetterRow)
    assert (letter.address, letter.cause) == ("/t/pool/alice", "start_failed")
    assert "KeyError: 'amount'" in letter.text


async def test_a_version_to_come_is_not_read(ground: Ground) -> None:
    await with_old_state(ground)
    async with ground.node(NEW) as system:
        await system.ref(ALICE).tell(Earn(cents=1))
        await system.idle()
    new = ground.rows(ActorRow)
    with pytest.raises(StartFailed) as caught:
        async with ground.node(OLD):
            pytest.fail("it started")
    assert (
        "state of /t/alice: it was written by newer code: its version is 3, and Konto has state_version = 1. Run that "
        "code again, or go back to a copy of the store from before it"
    ) in str(caught.value)
    assert ground.rows(ActorRow) == new


async def test_a_state_of_the_same_version_that_does_not_fit_says_what_helps(ground: Ground) -> None:
    await with_old_state(ground)
    ground.edit(ActorRow, ALICE, sealed=True, type="account@3")
    with pytest.raises(StartFailed, match=r"raise state_version and write an `upgrade`"):
        async with ground.node(NEW):
            pytest.fail("it started")


class Rated(msgspec.Struct):
    rate: float | None = None
    items: list[int] = []


class Rater(Actor[Rated]):
    state_version = 2
    made: Any = None

    @classmethod
    def upgrade(cls, state: Any, version: int) -> Any:  # noqa: ARG003 - the names are what overrides take
        return cls.made


class At(msgspec.Struct):
    """A receiver of stored rows."""

    address: str
    definition: Any
    aliases: Aliases


@pytest.mark.parametrize("made", [{"rate": float("inf")}, Rated(rate=float("nan")), Rated(items=(1, 2))], ids=str)  # type: ignore[arg-type]
def test_what_json_would_change_is_no_upgraded_state(monkeypatch: pytest.MonkeyPatch, made: Any) -> None:
    definition = Rater.__definition__
    monkeypatch.setattr(Rater, "made", made)
    row = ActorRow("/t/rater", definition.name, "{}", 1, 0.0)
    with pytest.raises(StateError, match=r"Rater\.upgrade made .* would come back as"):
        read_stored(At("/t/rater", definition, Aliases()), row)


@pytest.mark.parametrize("made", [{"rate": 1}, {"items": (1, 2)}, Rated(rate=0.5, items=[1])], ids=str)
def test_plain_data_of_any_form_is_one(monkeypatch: pytest.MonkeyPatch, made: Any) -> None:
    definition = Rater.__definition__
    monkeypatch.setattr(Rater, "made", made)
    row = ActorRow("/t/rater", definition.name, "{}", 1, 0.0)
    assert msgspec.json.decode(read_stored(At("/t/rater", definition, Aliases()), row).state, type=Rated)
