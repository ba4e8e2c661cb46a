"""The answer of a handler is checked against the reply type of its request."""

from typing import Annotated, Any, Literal

import msgspec
import pytest
from account_definition import Balance, Basket, Items, Money, Total, a_function, spec

from greenroom.actors.actor import Actor, handler
from greenroom.actors.definition.definition import HandlerSpec
from greenroom.actors.messages.errors import ReplyError
from greenroom.actors.messages.message import Message


class Answers(Actor[None]):
    @handler
    def balance(self, message: Balance) -> int:
        return 1

    @handler
    def total(self, message: Total) -> Money:
        return Money(1)

    @handler
    def items(self, message: Items) -> Basket:
        return Basket()


@pytest.mark.parametrize(("request_type", "result"), [(Balance, 3), (Total, Money(3))])
def test_an_immutable_reply_passes_as_it_is(request_type: type[Message], result: Any) -> None:
    assert spec(Answers, request_type).passes(result)
    assert spec(Answers, request_type).reply(result) is result


def test_a_mutable_reply_is_copied() -> None:
    basket = Basket([1])
    reply = spec(Answers, Items).reply(basket)
    assert reply == basket
    assert reply is not basket


@pytest.mark.parametrize(
    ("request_type", "result"),
    [(Balance, "3"), (Balance, None), (Total, 3), (Items, None), (Balance, object()), (Balance, a_function)],
)
def test_a_reply_that_does_not_fit_is_refused(request_type: type[Message], result: Any) -> None:
    with pytest.raises(ReplyError, match=f"returned no reply that fits {request_type.__name__}"):
        spec(Answers, request_type).reply(result)


@pytest.mark.parametrize(
    ("reply", "result", "passes"),
    [
        (float, 1.5, True),
        (float, 1, False),  # an int is to become a float
        (float, float("nan"), False),
        (int, True, False),
        (int | None, None, True),
        (Literal["a"], "a", False),
        (Annotated[int, msgspec.Meta(gt=0)], 1, False),
        (Any, 1, True),
        (Any, Money(1), False),
        (None, None, True),
        (tuple[int, ...], (1,), False),
    ],
)
def test_only_what_is_certain_passes(reply: Any, result: Any, passes: bool) -> None:
    found = HandlerSpec(a_function, Balance, reply, is_async=False)
    assert found.passes(result) is passes


@pytest.mark.parametrize(
    ("reply", "result", "handed"),
    [
        (float, 1, 1.0),
        (tuple[int, ...], (1, 2), (1, 2)),
        (Any, {"cents": 1}, {"cents": 1}),
        (Literal["a"], "a", "a"),
    ],
)
def test_the_rest_goes_through_json(reply: Any, result: Any, handed: Any) -> None:
    found = HandlerSpec(a_function, Balance, reply, is_async=False).reply(result)
    assert (found, type(found)) == (handed, type(handed))


@pytest.mark.parametrize(("reply", "result"), [(float, float("nan")), (Annotated[int, msgspec.Meta(gt=0)], -1)])
def test_a_reply_is_validated(reply: Any, result: Any) -> None:
    with pytest.raises(ReplyError):
        HandlerSpec(a_function, Balance, reply, is_async=False).reply(result)


class Coin(Money):
    face: str = ""


@pytest.mark.parametrize(
    ("reply", "result"),
    [
        (Money, Coin(1)),
        (list[Money], [Coin(1)]),
        (Any, Money(1)),
        (Any, (1, 2)),
        (Any, {1: 2}),
        (float | None, float("inf")),
        (str, b"x"),
        (tuple[int, ...], [1]),
    ],
    ids=str,
)
def test_a_reply_that_would_arrive_as_another_is_refused(reply: Any, result: Any) -> None:
    with pytest.raises(ReplyError, match="would come back as") as caught:
        HandlerSpec(a_function, Balance, reply, is_async=False).reply(result)
    assert caught.value.fix
