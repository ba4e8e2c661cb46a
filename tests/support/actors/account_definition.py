"""The account whose definition the tests read, and its messages."""

from typing import Any, Generic, TypeVar

import msgspec

from greenroom.actors.actor import Actor, handler
from greenroom.actors.definition.definition import Definition, HandlerSpec
from greenroom.actors.messages.message import Message, Request

T = TypeVar("T")


class Deposit(Message):
    amount: int


class BigDeposit(Deposit):
    pass


class Withdraw(Message):
    amount: int


class Balance(Request[int]):
    pass


class SpecialBalance(Balance):
    pass


class Get(Request[T], Generic[T]):
    key: str


class Money(msgspec.Struct, frozen=True):
    cents: int


class Basket(msgspec.Struct):
    items: list[int] = []


class Total(Request[Money]):
    pass


class Items(Request[Basket]):
    pass


class Book(msgspec.Struct):
    balance: int = 0


class Account(Actor[Book]):
    """The actor of the README."""

    reject_on = (ValueError,)

    def __init__(self, *, currency: str = "EUR") -> None:
        self.currency = currency

    @handler
    async def deposit(self, message: Deposit) -> None:
        self.state.balance += message.amount

    @handler
    def balance(self, message: Balance) -> int:
        return self.state.balance

    def helper(self) -> None: ...


def definition(cls: type[Actor[Any]]) -> Definition:
    return cls.__definition__


def spec(cls: type[Actor[Any]], message_type: type[Message]) -> HandlerSpec:
    found = cls.__definition__.handler_for(message_type)
    assert found is not None
    return found


def a_function(self: Any, *_: Any) -> None: ...
