"""Messages: frozen, keyword-only, tagged; and what can be shared as it is."""

import dataclasses
import datetime as dt
import decimal
import enum
import gc
import uuid
from typing import Annotated, Any, Generic, Literal, NewType, Optional, TypeVar

import msgspec
import pytest

from greenroom.actors.messages.message import (
    ENCODER,
    Message,
    Request,
    classes_with_tag,
    decoder_of,
    is_deeply_immutable,
    known_tags,
    request_reply_type,
    tag_of,
)
from greenroom.actors.messages.signals import Down, Exited

T = TypeVar("T")
U = TypeVar("U")


class Deposit(Message):
    amount: int
    note: str = ""


class Renamed(Message, tag="old-name"):
    pass


class Balance(Request[int]):
    currency: str = "EUR"


class Get(Request[T], Generic[T]):
    key: str


class GetAll(Get[list[U]], Generic[U]):
    pass


class Later(Message):
    one: "DefinedBelow"


class Tree(Message):
    children: "tuple[Tree, ...]" = ()


class LazyReply(Request["DefinedBelow"]):
    pass


class DefinedBelow(msgspec.Struct, frozen=True):
    x: int


# -- the class ----------------------------------------------------------------------------------------


def test_it_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Deposit(amount=1).amount = 2  # type: ignore[misc]


def test_it_is_keyword_only() -> None:
    with pytest.raises(TypeError):
        Deposit(1)  # type: ignore[call-arg]


def test_a_subclass_with_defaults_in_between_is_still_keyword_only() -> None:
    class More(Deposit):
        required: int

    assert More(amount=1, required=2).required == 2


def test_its_stored_form_carries_the_class_name() -> None:
    assert ENCODER.encode(Deposit(amount=5)) == b'{"$type":"Deposit","amount":5,"note":""}'


def test_the_tag_can_be_given() -> None:
    assert tag_of(Renamed) == "old-name"
    assert ENCODER.encode(Renamed()) == b'{"$type":"old-name"}'


def test_a_given_tag_is_not_inherited() -> None:
    class Child(Renamed):
        pass

    assert tag_of(Child) == "Child"


@pytest.mark.parametrize(
    "config",
    [
        {"frozen": False},
        {"kw_only": False},
        {"array_like": True},
        {"tag_field": "t"},
        {"tag": 3},
        {"tag": ""},
    ],
)
def test_what_makes_a_message_cannot_be_switched_off(config: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="class Odd"):

        class Odd(Message, **config):
            pass


def test_other_options_of_msgspec_work() -> None:
    class Compact(Message, omit_defaults=True, rename="camel"):
        some_field: int = 1

    assert ENCODER.encode(Compact(some_field=2)) == b'{"$type":"Compact","someField":2}'


# -- decoding -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", [Deposit(amount=3), Renamed(), Balance(currency="USD"), Tree(children=(Tree(),))])
def test_it_decodes_to_an_equal_one(message: Message) -> None:
    assert decoder_of(type(message)).decode(ENCODER.encode(message)) == message


def test_the_decoder_is_made_once_a_class() -> None:
    class Child(Deposit):
        pass

    assert decoder_of(Deposit) is decoder_of(Deposit)
    assert decoder_of(Child) is not decoder_of(Deposit)


def test_another_tag_does_not_decode() -> None:
    with pytest.raises(msgspec.ValidationError):
        decoder_of(Deposit).decode(ENCODER.encode(Renamed()))


def test_forward_references_are_resolved_at_first_use() -> None:
    assert decoder_of(Later).decode(b'{"$type":"Later","one":{"x":1}}') == Later(one=DefinedBelow(x=1))


# -- the register of tags ------------------------------------------------------------------------------


def test_the_register_finds_classes_by_tag() -> None:
    assert classes_with_tag("old-name") == (Renamed,)
    assert classes_with_tag("nothing") == ()
    assert "old-name" in known_tags()


def test_the_bases_are_not_in_it() -> None:
    assert not {"Message", "Request"} & set(known_tags())


def test_two_classes_may_share_a_tag() -> None:
    class Twin(Message, tag="twins"):
        pass

    class Other(Message, tag="twins"):
        pass

    assert classes_with_tag("twins") == (Twin, Other)


def test_a_class_that_is_defined_again_replaces_itself() -> None:
    def define() -> type[Message]:
        class Again(Message):
            pass

        return Again

    first, second = define(), define()
    assert first is not second
    assert classes_with_tag("Again") == (second,)


def test_a_class_that_is_gone_leaves_the_register() -> None:
    def define() -> None:
        class Gone(Message, tag="gone"):
            pass

        assert decoder_of(Gone)

    define()
    gc.collect()
    assert classes_with_tag("gone") == ()
    assert "gone" not in known_tags()


# -- requests -----------------------------------------------------------------------------------------


class Unsaid(Request):  # type: ignore[type-arg]
    pass


@pytest.mark.parametrize(
    ("request_type", "reply_type"),
    [
        (Balance, int),
        (Get[str], str),
        (Get, Any),
        (GetAll[int], list[int]),
        (Unsaid, Any),
        (LazyReply, DefinedBelow),
    ],
)
def test_a_request_knows_its_reply(request_type: Any, reply_type: Any) -> None:
    assert request_reply_type(request_type) == reply_type


def test_a_subclass_of_a_request_keeps_its_reply() -> None:
    class Special(Balance):
        pass

    assert request_reply_type(Special) is int


# -- deep immutability ---------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = 1


class Open(msgspec.Struct):
    x: int = 0


class Holder(Message):
    item: Open


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    at: "dt.datetime | None" = None


@dataclasses.dataclass
class Loose:
    x: int


@dataclasses.dataclass(frozen=True)
class Hides:
    items: list[int]


class Pair(Message, Generic[T]):
    left: T


AccountId = NewType("AccountId", str)


@pytest.mark.parametrize(
    "kind",
    [
        int,
        str,
        bytes,
        None,
        dt.datetime,
        decimal.Decimal,
        uuid.UUID,
        Colour,
        Literal["a", 1],
        tuple[int, ...],
        tuple[()],
        frozenset[str],
        Optional[int],  # noqa: UP045 - the old spelling too
        int | str,
        Annotated[int, msgspec.Meta(gt=0)],
        AccountId,
        Deposit,
        Later,
        Tree,
        Point,
        Pair[int],
        Exited,
        Down,
    ],
)
def test_immutable(kind: Any) -> None:
    assert is_deeply_immutable(kind)


@pytest.mark.parametrize(
    "kind",
    [Any, object, list[int], dict[str, int], set[int], tuple, tuple[list[int], ...], frozenset[Any], Open,
     Holder, Loose, Hides, Pair, Pair[list[int]], int | list[int], T, bytearray],
)  # fmt: skip
def test_not_immutable(kind: Any) -> None:
    assert not is_deeply_immutable(kind)


def test_the_answer_is_kept_per_class_and_not_inherited() -> None:
    class Child(Deposit):
        items: list[int]

    assert is_deeply_immutable(Deposit)
    assert Deposit.__immutable__ is True
    assert Child.__immutable__ is None
    assert not is_deeply_immutable(Child)
    assert Child.__immutable__ is False


def test_what_cannot_be_resolved_yet_is_not_kept() -> None:
    class Early(Message):
        one: "Nowhere"  # type: ignore[name-defined]  # noqa: F821

    assert not is_deeply_immutable(Early)
    assert Early.__immutable__ is None
