"""Hooks, reserved names and options of an actor class, and its API before it runs."""

from collections.abc import Iterator
from typing import Any

import pytest
from account_definition import Account, Deposit, a_function, definition

from greenroom.actors.actor import Actor, handler
from greenroom.actors.definition.definition import RESERVED
from greenroom.actors.kernel.errors import NotRunning
from greenroom.actors.messages.signals import ExitReason

# -- hooks and reserved names --------------------------------------------------------------------------


async def a_coroutine(self: Any, *_: Any) -> None: ...


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
    from greenroom.actors.definition.options import OPTION_NAMES

    public = {name for name in vars(Actor) if not name.startswith("_")}
    hooks = {"initial_state", "on_start", "on_stop", "receive", "upgrade"}
    assert public <= RESERVED | hooks | set(OPTION_NAMES) | {"state_version"}


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
