"""An account as it was, and as it is two versions later."""

from __future__ import annotations

from typing import Any

import msgspec
from grounds import Ground, tree

from greenroom import Actor, Backoff, Message, Request, handler
from greenroom.persistence.store.checksums import seal
from greenroom.persistence.store.rows import ActorRow


class Earn(Message):
    cents: int = 0
    fail: bool = False


class Cents(Request[int]):
    pass


class OldBook(msgspec.Struct):
    balance: int = 0
    """In euros."""


class Konto(Actor[OldBook]):
    """As it was at the beginning."""

    name = "account"

    @handler
    def earn(self, message: Earn) -> None:
        self.state.balance += message.cents // 100


class Book(msgspec.Struct):
    cents: int
    currency: str = "EUR"


log: list[tuple[Any, int]] = []
"""The arguments of the calls of `upgrade`."""


class Account(Actor[Book]):
    """Two versions later: cents, and a field without a default that the upgrade fills."""

    name = "account"
    state_version = 3
    max_attempts = 5
    backoff = Backoff(initial_s=0.001, factor=1.0, jitter=0.0)
    retry_on = (OSError,)

    @classmethod
    def upgrade(cls, state: Any, version: int) -> Any:
        log.append((state, version))
        if version < 2:
            state = {"cents": state["balance"] * 100}
        return {**state, "currency": "EUR"}

    def initial_state(self) -> Book:
        return Book(cents=0)

    @handler
    def earn(self, message: Earn) -> None:
        self.state.cents += message.cents
        if message.fail and self.turn.attempt == 1:
            raise OSError("once")

    @handler
    def cents(self, request: Cents) -> int:
        return self.state.cents


def account_with(**members: Any) -> type[Account]:
    return type("Other", (Account,), {"name": "account", **members})


OLD, NEW = tree(("alice", Konto)), tree(("alice", Account))
ALICE = "/t/alice"


async def with_old_state(ground: Ground, spec: Any = OLD, address: str = ALICE) -> ActorRow:
    """The data of a node of old code: 5 euros."""
    async with ground.node(spec) as system:
        await system.ref(address).tell(Earn(cents=500))
        await system.idle()
    (row,) = ground.rows(ActorRow)
    assert (row.type, row.state) == ("account", '{"balance":5}')
    return row


def stored(ground: Ground) -> tuple[str, Any]:
    """The stored row of the only actor, with a checksum that fits."""
    (row,) = ground.rows(ActorRow)
    assert seal(row) == row
    return row.type, msgspec.json.decode(row.state)
