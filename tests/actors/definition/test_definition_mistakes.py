"""Every mistake in a handler is named when its class is defined."""

from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import pytest
from account_definition import Account, Balance, Basket, Deposit, Money, Withdraw

from greenroom.actors.actor import Actor, handler
from greenroom.actors.messages.message import Message, Request

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForCheckers


def no_annotation() -> None:
    class Bad(Actor[None]):
        @handler
        def deposit(self, message):  # type: ignore[no-untyped-def]
            ...


def no_message_type() -> None:
    class Bad(Actor[None]):
        @handler  # type: ignore[arg-type]
        def deposit(self, message: int) -> None: ...


def batch_of_nothing() -> None:
    class Bad(Actor[None]):
        @handler
        def deposit(self, messages: list) -> None:  # type: ignore[type-arg]
            ...


def union() -> None:
    class Bad(Actor[None]):
        @handler
        def deposit(self, message: Deposit | Withdraw) -> None: ...


def the_base() -> None:
    class Bad(Actor[None]):
        @handler
        def deposit(self, message: Message) -> None: ...


def batch_of_requests() -> None:
    class Bad(Actor[None]):
        @handler
        def deposit(self, messages: list[Balance]) -> int:
            return 1


def too_few_parameters() -> None:
    class Bad(Actor[None]):
        @handler  # type: ignore[arg-type]
        def deposit(self) -> None: ...


def too_many_parameters() -> None:
    class Bad(Actor[None]):
        @handler
        def deposit(self, message: Deposit, extra: int = 1) -> None: ...


def keyword_parameter() -> None:
    class Bad(Actor[None]):
        @handler  # type: ignore[arg-type]
        def deposit(self, *, message: Deposit) -> None: ...


def generator() -> None:
    class Bad(Actor[None]):
        @handler
        def deposit(self, message: Deposit) -> Iterator[int]:
            yield 1


def async_generator() -> None:
    class Bad(Actor[None]):
        @handler
        async def deposit(self, message: Deposit) -> Any:
            yield 1


def wrong_reply() -> None:
    class Bad(Actor[None]):
        @handler
        def deposit(self, message: Balance) -> str:
            return ""


def wrong_async_reply() -> None:
    class Bad(Actor[None]):
        @handler
        async def deposit(self, message: Balance) -> None: ...


def wrong_awaitable_reply() -> None:
    class Bad(Actor[None]):
        @handler
        def deposit(self, message: Balance) -> Awaitable[str]:
            raise NotImplementedError


def wrong_overridden_reply() -> None:
    class Bad(Account):
        def balance(self, message) -> str:  # type: ignore[no-untyped-def,override]
            return ""


def local_message() -> None:
    class Local(Message):
        pass

    class Bad(Actor[None]):
        @handler
        def deposit(self, message: "Local") -> None: ...


def import_for_checkers() -> None:
    class Bad(Actor[None]):
        @handler
        def deposit(self, message: Deposit) -> "OnlyForCheckers":
            raise NotImplementedError


def unknown_reply() -> None:
    class Asks(Request["Nowhere"]):  # type: ignore[name-defined]
        pass

    class Bad(Actor[None]):
        @handler
        def deposit(self, message: Asks) -> None: ...


def unsendable_reply() -> None:
    class Asks(Request[complex]):
        pass

    class Bad(Actor[None]):
        @handler
        def deposit(self, message: Asks) -> complex:
            return 1j


def unstorable_field() -> None:
    class Odd(Message):
        values: list[complex]

    class Bad(Actor[None]):
        @handler
        def deposit(self, message: Odd) -> None: ...


def two_for_one() -> None:
    class Bad(Actor[None]):
        @handler
        def deposit(self, message: Deposit) -> None: ...

        @handler
        def other(self, message: Deposit) -> None: ...


def two_for_one_tag() -> None:
    class Same(Message, tag="Deposit"):
        pass

    class Bad(Actor[None]):
        @handler
        def deposit(self, message: Deposit) -> None: ...

        @handler
        def other(self, message: Same) -> None: ...


def static_method() -> None:
    class Bad(Actor[None]):
        @handler
        @staticmethod
        def deposit(message: Deposit) -> None: ...


@pytest.mark.parametrize(
    ("define", "found"),
    [
        (no_annotation, r"Bad\.deposit: its parameter 'message' has no annotation\. Name the message's type"),
        (no_message_type, r"Bad\.deposit: int is no message type\. Annotate it with a Message class or list"),
        (batch_of_nothing, r"Bad\.deposit: list is no message type"),
        (union, r"Bad\.deposit: Deposit \| Withdraw is no message type\. Write one handler for each"),
        (the_base, r"Bad\.deposit: Message is the base of all\. .*override `receive`"),
        (batch_of_requests, r"a batch of requests.*Take one Balance at a time"),
        (too_few_parameters, r"takes self and one message, this one takes \(self\)\. Write `@handler`"),
        (too_many_parameters, r"this one takes \(self, message: .*Deposit.*, extra: int = 1\)"),
        (keyword_parameter, r"Bad\.deposit: a handler takes self and one message"),
        (generator, r"Bad\.deposit: a handler can't be a generator"),
        (async_generator, r"Bad\.deposit: a handler can't be a generator"),
        (wrong_reply, r"returns str, but Balance is a Request\[int\]\. Write `-> int`.*`Request\[str\]`"),
        (wrong_async_reply, r"returns None, but Balance is a Request\[int\]"),
        (wrong_awaitable_reply, r"returns str, but Balance is a Request\[int\]"),
        (wrong_overridden_reply, r"Bad\.balance: it returns str, but Balance"),
        (local_message, r"Bad\.deposit: .*'Local' is not defined.*local to a function.*TYPE_CHECKING"),
        (import_for_checkers, r"Bad\.deposit: .*'OnlyForCheckers'.*local to a function.*TYPE_CHECKING"),
        (unknown_reply, r"the reply type of Asks can't be resolved .*'Nowhere'"),
        (unsendable_reply, r"the reply of Asks can't be sent: complex is complex"),
        (unstorable_field, r"Odd can't be stored: an item of Odd\.values is complex"),
        (two_for_one, r"Bad: deposit and other both handle Deposit\. Keep one"),
        (two_for_one_tag, r"Bad: it handles .*:Deposit and .*Same, and both are stored as 'Deposit'"),
        (static_method, r"@handler over staticmethod: it goes over a method"),
    ],
)
def test_a_mistake_is_named(define: Callable[[], None], found: str) -> None:
    with pytest.raises(TypeError, match=found):
        define()


@pytest.mark.parametrize(
    ("reply", "annotation"),
    [
        (int, bool),
        (float, int),
        (int | None, int),
        (int | None, None),
        (Any, str),
        (Literal["a", "b"], Literal["a"]),
        (Literal["a", "b"], str),
        (str, Literal["a"]),
        (Annotated[int, msgspec.Meta(gt=0)], int),
        (list[float], list[int]),
        (list[int], list),
        (dict[str, Any], dict[str, int]),
        (int, Any),
        (None, None),
    ],
)
def test_a_fitting_return_type_is_accepted(reply: Any, annotation: Any) -> None:
    class Asks(Request[reply]):
        pass

    def answer(self: Any, message: Asks) -> Any: ...

    answer.__annotations__["return"] = annotation
    assert type("Good", (Actor,), {"answer": handler(answer)})


@pytest.mark.parametrize(
    ("reply", "annotation"),
    [
        (int, float),
        (int, int | None),
        (list[int], list[str]),
        (Literal["a"], Literal["b"]),
        (Literal["a"], int),
        (Money, Basket),
        (None, int),
        (str, bytes),
    ],
)
def test_a_return_type_that_cannot_fit_is_refused(reply: Any, annotation: Any) -> None:
    class Asks(Request[reply]):
        pass

    def answer(self: Any, message: Asks) -> Any: ...

    answer.__annotations__["return"] = annotation
    with pytest.raises(TypeError, match=r"Bad\.answer: it returns"):
        type("Bad", (Actor,), {"answer": handler(answer)})
