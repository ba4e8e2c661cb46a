"""What an actor class declares is read, and every mistake in it named, when the class is defined."""

import abc
import dataclasses
import functools
import runpy
import subprocess
import sys
import types
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar

import msgspec
import pytest

from understudy.actors.actor import Actor, handler
from understudy.actors.definition import RESERVED, Definition, HandlerSpec
from understudy.actors.errors import NotRunning, ReplyError, StateError, UnhandledMessage
from understudy.actors.exits import ExitReason
from understudy.actors.message import Message, Request

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForCheckers

S = TypeVar("S")
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


# -- mistakes in handlers ------------------------------------------------------------------------------


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


# -- state --------------------------------------------------------------------------------------------


class Branch(msgspec.Struct):
    left: "Branch | None" = None


class Walk(Request[Branch]):
    start: Branch


def test_recursive_types() -> None:
    class Walker(Actor[Branch]):
        @handler
        def walk(self, message: Walk) -> Branch:
            return message.start

    assert spec(Walker, Walk).reply(Branch(Branch())) == Branch(Branch())


@dataclasses.dataclass
class Plain:
    x: int = 0


@pytest.mark.parametrize("kind", [Book, Plain, int, dict[str, int], dict[int, Book], list[Book], set[str], Any])
def test_state_types(kind: Any) -> None:
    cls = types.new_class("Keeper", (Actor[kind],))
    if kind is Any:
        assert definition(cls).state_decoder is None
        return
    assert definition(cls).state_type == kind
    decoder = definition(cls).state_decoder
    assert decoder is not None
    state = cls().initial_state()
    assert decoder.decode(msgspec.json.encode(state)) == state


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (complex, "complex is complex"),
        (list[type], "an item of .* is type"),
        (dict[tuple[int, int], str], "keys that are neither strings nor numbers"),
        (msgspec.msgpack.Ext, "msgpack"),
        ("Nowhere", "'Nowhere' is not defined"),
    ],
)
def test_a_state_that_cannot_be_stored_is_refused(kind: Any, why: str) -> None:
    with pytest.raises(TypeError, match=rf"Bad: its state can't be stored: .*{why}.*"):
        types.new_class("Bad", (Actor[kind],))


def test_a_stateless_actor_has_no_state() -> None:
    class Stateless(Actor[None]):
        pass

    assert definition(Stateless).state_type is None
    assert Stateless().initial_state() is None


def test_a_state_that_needs_arguments_asks_for_initial_state() -> None:
    class Needs(msgspec.Struct):
        owner: str

    class Owned(Actor[Needs]):
        pass

    class Given(Actor[Needs]):
        def initial_state(self) -> Needs:
            return Needs(owner="alice")

    with pytest.raises(StateError, match=r"Needs\(\) doesn't work .*override `def initial_state\(self\) -> Needs`"):
        Owned().initial_state()
    assert Given().initial_state() == Needs(owner="alice")


# -- names --------------------------------------------------------------------------------------------


def test_the_stored_name_is_the_path_or_what_the_class_says() -> None:
    class Named(Actor[None]):
        name = "account"

    class Child(Named):
        pass

    assert definition(Account).name == f"{__name__}:Account"
    assert definition(Named).name == "account"
    assert definition(Child).name == f"{__name__}:{Child.__qualname__}"


@pytest.mark.parametrize("name", ["", " ", 3])
def test_a_name_is_a_string(name: Any) -> None:
    with pytest.raises(TypeError, match=r'Bad\.name is .*write name = "account"'):
        type("Bad", (Actor,), {"name": name})


SCRIPT = """
from understudy.actors.actor import Actor
class Account(Actor[None]): pass
if __name__ == "__main__":
    print(Account.__definition__.name)
"""


def test_a_script_stores_its_own_name(tmp_path: Path) -> None:
    package = tmp_path / "pkg"
    package.mkdir()
    for file in (tmp_path / "bank.py", package / "shop.py", package / "__main__.py"):
        file.write_text(SCRIPT)
    env = {"PYTHONPATH": ":".join(path for path in sys.path if path)}

    def output(*args: str) -> str:
        run = subprocess.run(
            [sys.executable, *args],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return run.stdout.strip()

    assert output("bank.py") == "bank:Account"
    assert output("-m", "pkg.shop") == "pkg.shop:Account"
    assert output("-m", "pkg") == "pkg:Account"
    assert runpy.run_path(str(tmp_path / "bank.py"))["Account"].__definition__.name == "<run_path>:Account"


# -- hooks and reserved names --------------------------------------------------------------------------


async def a_coroutine(self: Any, *_: Any) -> None: ...


def a_function(self: Any, *_: Any) -> None: ...


def no_parameters(self: Any) -> None: ...


@handler
def a_handler(self: Any, message: Deposit) -> None: ...


def a_generator(self: Any, *_: Any) -> Iterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("hook", "value", "found"),
    [
        ("on_start", a_function, r"on_start is not async\. Write `async def on_start\(self\)`"),
        ("on_stop", a_function, r"on_stop is not async\. Write `async def on_stop\(self, reason\)`"),
        ("on_stop", no_parameters, r"on_stop\(self.*doesn't take \(self, reason\)"),
        ("initial_state", a_coroutine, r"initial_state is async"),
        ("initial_state", 3, r"initial_state is int, no method"),
        ("receive", no_parameters, r"receive\(self.*doesn't take \(self, message\)"),
        ("receive", a_generator, r"receive is a generator"),
        ("receive", a_handler, r"receive has @handler"),
    ],
)
def test_a_wrong_hook_is_refused(hook: str, value: Any, found: str) -> None:
    with pytest.raises(TypeError, match=rf"Bad\.{found}"):
        type("Bad", (Actor,), {hook: value})


def test_overridden_hooks_are_known() -> None:
    class Hooked(Actor[None]):
        async def on_start(self) -> None: ...

        async def on_stop(self, reason: ExitReason) -> None: ...

    found = definition(Hooked)
    assert (found.overrides_on_start, found.overrides_on_stop) == (True, True)
    assert (definition(Account).overrides_on_start, definition(Account).overrides_on_stop) == (False, False)


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_the_instance_api_cannot_be_overridden(name: str) -> None:
    with pytest.raises(TypeError, match=rf"Bad\.{name}: '{name}' belongs to every actor's own API"):
        type("Bad", (Actor,), {name: a_function})


def test_every_public_member_of_actor_is_reserved_or_a_hook_or_an_option() -> None:
    from understudy.actors.options import OPTION_NAMES

    public = {name for name in vars(Actor) if not name.startswith("_")}
    hooks = {"initial_state", "on_start", "on_stop", "receive"}
    assert public <= RESERVED | hooks | set(OPTION_NAMES)


# -- options in the class ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("max_attempt", 3, r"Bad\.max_attempt: there is no such option\. Did you mean 'max_attempts'\?"),
        ("handler_timeout", 3, r"Did you mean 'handler_timeout_s'"),
        ("rejects_on", (), r"Did you mean 'reject_on'"),
        ("max_attempts", -1, r"Bad: max_attempts = -1: write a whole number"),
        ("retry_on", ValueError, r"Bad: retry_on = .*write retry_on = \(ValueError,\)"),
        ("capacity", a_function, r"Bad\.capacity is a method, and 'capacity' is an option"),
        ("journal", True, r"Bad: journal = True: journals are not in this release"),
    ],
)
def test_a_wrong_option_is_refused(name: str, value: Any, found: str) -> None:
    with pytest.raises(TypeError, match=found):
        type("Bad", (Actor,), {name: value})


def test_attributes_of_ones_own_are_left_alone() -> None:
    class Own(Actor[None]):
        currency = "EUR"
        timeout_s = 3
        retries = 2
        capacity_kg = 4
        _max_attempt = 1

        def max_attempt(self) -> int:
            return 1

    assert definition(Own).options.max_attempts == 5


# -- before it runs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["address", "ref", "supervisor", "system", "turn", "random", "state"])
def test_the_instance_api_is_refused_before_the_actor_runs(name: str) -> None:
    with pytest.raises(NotRunning, match=rf"Account\.{name} doesn't exist before the actor runs.*`__init__`"):
        getattr(Account(), name)
    assert not hasattr(Account(), name)


@pytest.mark.parametrize("name", ["now", "stop", "retire", "transaction"])
def test_the_methods_are_refused_too(name: str) -> None:
    with pytest.raises(NotRunning, match=rf"Account\.{name}"):
        getattr(Account(), name)()


def test_another_missing_attribute_is_an_ordinary_error() -> None:
    with pytest.raises(AttributeError, match="'Account' object has no attribute 'nonsense'"):
        Account().nonsense  # type: ignore[attr-defined]  # noqa: B018


class Lent:
    """As much of a context as these tests need."""

    address = "/bank/alice"

    def __init__(self) -> None:
        self.stopped: list[ExitReason] = []

    def stop(self, reason: ExitReason) -> None:
        self.stopped.append(reason)

    @property
    def ref(self) -> Any:
        return self.nothing  # type: ignore[attr-defined]


def test_the_instance_api_passes_on_to_the_context() -> None:
    account, lent = Account(), Lent()
    account._context = lent  # type: ignore[assignment]
    assert account.address == "/bank/alice"
    account.stop()
    account.stop(ExitReason.shutdown("bye"))
    assert lent.stopped == [ExitReason.normal(), ExitReason.shutdown("bye")]
    with pytest.raises(UnhandledMessage, match="/bank/alice has no handler for Deposit"):
        account.receive(Deposit(amount=1))
    with pytest.raises(AttributeError, match="'Lent' object has no attribute 'nothing'"):
        account.ref  # noqa: B018


# -- replies ------------------------------------------------------------------------------------------


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
        (Any, Money(1), {"cents": 1}),
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
