"""A bank: accounts that are activated by their address, and transfers between them as messages.

A transfer is a message to the account that pays. Its turn takes the money off and tells the other account,
whose turn puts it on; both tell the journal. Each turn is one transaction, so money is in an account or in a
message on its way, never in both and never in neither, whenever the process dies.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import text

from greenroom import Actor, Message, Request, handler

JOURNAL = "/bank/journal"


def address(owner: str) -> str:
    return f"/bank/accounts/{owner}"


class Transfer(Message):
    """To the account that pays."""

    id: str
    to: str
    amount: int


class Credit(Message):
    """To the account that is paid."""

    id: str
    amount: int


class Posting(Message):
    """To the journal: one side of a transfer."""

    id: str
    account: str
    change: int


class Balance(Request[int]):
    pass


class Overdrawn(Exception):
    pass


class Book(msgspec.Struct):
    balance: int = 0


class Account(Actor[Book]):
    reject_on = (Overdrawn,)  # the transfer becomes a dead letter, the account goes on

    def __init__(self, *, opening: int = 0) -> None:
        self.opening = opening

    def initial_state(self) -> Book:
        return Book(balance=self.opening)

    @handler
    def transfer(self, message: Transfer) -> None:
        if message.amount > self.state.balance:
            raise Overdrawn(f"{message.amount} of {self.state.balance}")
        self.state.balance -= message.amount
        self.system.ref(address(message.to)).tell(Credit(id=message.id, amount=message.amount))
        self.post(message.id, -message.amount)

    @handler
    def credit(self, message: Credit) -> None:
        self.state.balance += message.amount
        self.post(message.id, message.amount)

    @handler
    def balance(self, message: Balance) -> int:
        return self.state.balance

    def post(self, transfer: str, change: int) -> None:
        owner = self.address.rpartition("/")[2]
        self.system.ref(JOURNAL).tell(Posting(id=transfer, account=owner, change=change))


class Journal(Actor[None]):
    """Keeps every posting in a table of its own, written in the same commit as the turn."""

    async def on_start(self) -> None:
        async with self.transaction() as db:
            await db.execute(text("CREATE TABLE IF NOT EXISTS posting (id TEXT, account TEXT, change INTEGER)"))

    @handler
    async def post(self, postings: list[Posting]) -> None:  # as many as wait, in one transaction
        rows = msgspec.json.encode([(p.id, p.account, p.change) for p in postings]).decode()
        async with self.transaction() as db:
            await db.execute(INSERT, {"rows": rows})


INSERT = text("INSERT INTO posting SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(:rows)")
