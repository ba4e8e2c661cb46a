"""Which handlers an actor class has: declared, looked up and inherited."""

import abc
import functools
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from account_definition import (
    Account,
    Balance,
    BigDeposit,
    Book,
    Deposit,
    Get,
    SpecialBalance,
    Withdraw,
    definition,
    spec,
)

from greenroom.actors.actor import Actor, handler
from greenroom.actors.messages.message import Message

S = TypeVar("S")


# -- handlers -----------------------------------------------------------------------------------------


def test_handlers_are_found_by_message_type() -> None:
    assert set(definition(Account).handlers) == {Deposit, Balance}
    assert definition(Account).by_tag == {"Deposit": Deposit, "Balance": Balance}
    assert "t_definition:Account" in repr(definition(Account))


def test_what_a_spec_says() -> None:
    deposit, balance = spec(Account, Deposit), spec(Account, Balance)
    assert (deposit.is_async, deposit.is_batch, deposit.external, deposit.is_request) == (
        True,
        False,
        False,
        False,
    )
    assert (balance.is_async, balance.is_request, balance.reply_type) == (False, True, int)
    assert deposit.function is Account.deposit
    assert repr(balance) == "<handler balance(Balance) -> int>"


def test_a_handler_stays_a_method() -> None:
    account = Account()
    account.state = Book(balance=3)
    assert account.balance(Balance()) == 3


def test_external_and_batches() -> None:
    class Shop(Actor[None]):
        @handler(external=True)
        async def deposits(self, messages: list[Deposit]) -> None: ...

        @handler()
        def withdraw(self, message: Withdraw) -> None: ...

    assert (spec(Shop, Deposit).is_batch, spec(Shop, Deposit).external) == (True, True)
    assert (spec(Shop, Withdraw).is_batch, spec(Shop, Withdraw).external) == (False, False)


def test_messages_nested_in_the_actor() -> None:
    class Nested(Actor[None]):
        class Inner(Message):
            pass

        @handler
        def inner(self, message: "Inner") -> None: ...

    assert set(definition(Nested).handlers) == {Nested.Inner}


def test_a_generic_request() -> None:
    class Cache(Actor[None]):
        @handler
        def get(self, message: Get[int]) -> int:
            return 1

    assert spec(Cache, Get).reply_type is int


def test_a_decorated_handler_is_called_through_its_decorator() -> None:
    calls: list[str] = []

    def logged(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any) -> Any:
            calls.append(function.__name__)
            return function(*args)

        return wrapper

    class Logged(Actor[None]):
        @logged
        @handler
        async def above(self, message: Deposit) -> None: ...

        @handler
        @logged
        def below(self, message: Withdraw) -> None: ...

    above, below = spec(Logged, Deposit), spec(Logged, Withdraw)
    assert (above.is_async, below.is_async) == (True, False)
    above.function(Logged(), Deposit(amount=1)).close()
    below.function(Logged(), Withdraw(amount=1))
    assert calls == ["above", "below"]


def test_a_sync_handler_that_returns_an_awaitable_is_async() -> None:
    class Later(Actor[None]):
        @handler
        def balance(self, message: Balance) -> Awaitable[int]:
            raise NotImplementedError

    assert spec(Later, Balance).is_async


# -- lookup -------------------------------------------------------------------------------------------


def test_a_handler_of_a_base_class_takes_its_subclasses() -> None:
    assert definition(Account).handler_for(BigDeposit) is definition(Account).handlers[Deposit]
    assert definition(Account).handler_for(SpecialBalance) is definition(Account).handlers[Balance]
    assert BigDeposit not in definition(Account).handlers


def test_the_nearest_base_wins() -> None:
    class Both(Actor[None]):
        @handler
        def any_deposit(self, message: Deposit) -> None: ...

        @handler
        def big(self, message: BigDeposit) -> None: ...

    assert spec(Both, BigDeposit).name == "big"


def test_an_unhandled_type_has_no_spec() -> None:
    assert definition(Account).handler_for(Withdraw) is None
    assert definition(Account).handler_for(Withdraw) is None  # from the cache


def test_receive_takes_the_rest() -> None:
    class Matching(Actor[None]):
        @handler
        def deposit(self, message: Deposit) -> None: ...

        async def receive(self, message: Message) -> Any: ...

    assert definition(Matching).has_receive
    assert not definition(Account).has_receive
    rest = spec(Matching, Balance)
    assert (rest.name, rest.is_async, rest.reply_type, rest.message_type) == ("receive", True, int, Balance)
    assert spec(Matching, BigDeposit).name == "deposit"


def test_a_stored_tag_finds_its_class() -> None:
    class Matching(Actor[None]):
        def receive(self, message: Message) -> Any: ...

    assert definition(Account).type_for("Deposit") is Deposit
    assert definition(Account).type_for("SpecialBalance") is SpecialBalance
    assert definition(Account).type_for("Withdraw") is None
    assert definition(Account).type_for("Nonsense") is None
    assert definition(Matching).type_for("SpecialBalance") is SpecialBalance


def test_an_ambiguous_tag_means_the_class_of_the_same_module_or_none() -> None:
    class Matching(Actor[None]):
        def receive(self, message: Message) -> Any: ...

    class Mine(Message, tag="shared"):
        pass

    class Foreign(Message, tag="shared"):
        __module__ = "elsewhere"

    assert definition(Matching).type_for("shared") is Mine

    class AlsoMine(Message, tag="shared"):
        pass

    assert {Foreign, AlsoMine}
    assert definition(Matching).type_for("shared") is None


# -- inheritance --------------------------------------------------------------------------------------


def test_a_subclass_inherits_state_handlers_and_options() -> None:
    class Savings(Account):
        @handler
        def withdraw(self, message: Withdraw) -> None: ...

    assert set(definition(Savings).handlers) == {Deposit, Balance, Withdraw}
    assert definition(Savings).state_type is Book
    assert definition(Savings).options.reject_on == (ValueError,)


def test_a_redefined_method_keeps_its_message_and_its_mark() -> None:
    class Base(Actor[None]):
        @handler(external=True)
        async def deposit(self, message: Deposit) -> None: ...

    class Typed(Base):
        async def deposit(self, message: Deposit) -> None: ...

    class Bare(Base):
        def deposit(self, message):  # type: ignore[no-untyped-def,override]
            ...

    for cls in (Typed, Bare):
        assert set(definition(cls).handlers) == {Deposit}
        assert spec(cls, Deposit).function is cls.deposit
        assert spec(cls, Deposit).external
    assert not spec(Bare, Deposit).is_async


def test_a_new_method_for_the_same_message_overrides() -> None:
    class Savings(Account):
        @handler
        def put_aside(self, message: Deposit) -> None: ...

    assert spec(Savings, Deposit).name == "put_aside"
    assert spec(Account, Deposit).name == "deposit"


def test_a_redefined_method_can_take_another_message() -> None:
    class Other(Account):
        @handler
        async def deposit(self, message: Withdraw) -> None:  # type: ignore[override]
            ...

    assert set(definition(Other).handlers) == {Withdraw, Balance}


def test_the_most_derived_class_wins_whatever_the_order_of_names() -> None:
    class Base(Actor[None]):
        @handler
        def first(self, message: Deposit) -> None: ...

        @handler
        def second(self, message: Withdraw) -> None: ...

    class Child(Base):
        @handler
        def first(self, message: Withdraw) -> None:  # type: ignore[override]
            ...

    assert {cls: one.name for cls, one in definition(Child).handlers.items()} == {Withdraw: "first"}


def test_a_handler_can_be_taken_away() -> None:
    class Closed(Account):
        deposit = None  # type: ignore[assignment]

    assert set(definition(Closed).handlers) == {Balance}


def test_mixins_bring_handlers_and_options() -> None:
    class Withdrawing:
        max_attempts = 9

        @handler
        def withdraw(self, message: Withdraw) -> None: ...

    class Full(Withdrawing, Account):
        pass

    assert set(definition(Full).handlers) == {Deposit, Balance, Withdraw}
    assert definition(Full).options.max_attempts == 9


def test_an_abstract_base_in_between() -> None:
    class Base(Actor[S], abc.ABC, Generic[S]):
        @abc.abstractmethod
        def fresh(self) -> S: ...

        @handler
        def deposit(self, message: Deposit) -> None: ...

    class Concrete(Base[Book]):
        def fresh(self) -> Book:
            return Book()

    assert definition(Base).state_type is None
    assert definition(Concrete).state_type is Book
    assert set(definition(Concrete).handlers) == {Deposit}
