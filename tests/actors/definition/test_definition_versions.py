"""State versions and `upgrade` in the class body, and how a version stands in a row's type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from account_definition import Account, Book, Deposit, a_function, definition
from hypothesis import given
from hypothesis import strategies as st

from greenroom import Actor, handler
from greenroom.actors.definition.versions import join_type, split_type


def upgrade(cls: Any, state: Any, version: int) -> Any:
    return state


async def a_coroutine(cls: Any, state: Any, version: int) -> Any: ...


def a_generator(cls: Any, state: Any, version: int) -> Iterator[int]:
    yield 1


@handler
def a_handler(self: Any, message: Deposit) -> None: ...


def one_parameter(cls: Any, state: Any) -> Any: ...


@pytest.mark.parametrize("version", [0, -1, "2", 2.0, True, None, a_function, property(a_function), 10**18])
def test_a_version_is_a_whole_number(version: Any) -> None:
    with pytest.raises(TypeError, match=r"Bad\.state_version is .*Write a whole number of at least 1"):
        type("Bad", (Actor,), {"state_version": version})


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (upgrade, r"upgrade is function, and it is called before there is an instance\. Write `@classmethod` and"),
        (staticmethod(upgrade), r"upgrade is staticmethod"),
        (3, r"upgrade is int"),
        (classmethod(a_coroutine), r"upgrade is async or a generator"),
        (classmethod(a_generator), r"upgrade is async or a generator"),
        (classmethod(one_parameter), r"upgrade\(cls.*doesn't take \(cls, state, version\)"),
        (a_handler, r"upgrade has @handler.*Give the handler another name"),
        (classmethod(a_handler), r"upgrade has @handler"),
    ],
)
def test_a_wrong_upgrade_is_refused(value: Any, found: str) -> None:
    with pytest.raises(TypeError, match=rf"Bad\.{found}"):
        type("Bad", (Actor,), {"upgrade": value, "state_version": 2})


def test_an_upgrade_that_would_never_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Bad\.upgrade would never be called: state_version is 1.*state_version = 2"):
        type("Bad", (Actor,), {"upgrade": classmethod(upgrade)})


def test_a_misspelled_version_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Bad\.state_versions: there is no such option\. Did you mean 'state_version'"):
        type("Bad", (Actor,), {"state_versions": 2})


def test_versions_and_upgrades_are_inherited() -> None:
    class Base(Actor[Book]):
        state_version = 2

        @classmethod
        def upgrade(cls, state: Any, version: int) -> Any:  # noqa: ARG003
            return state

    class Derived(Base):
        name = "derived"

    class Further(Base):
        name = "further"
        state_version = 4

    assert (definition(Account).state_version, definition(Account).upgrades) == (1, False)
    assert (definition(Derived).stored_type, definition(Derived).upgrades) == ("derived@2", True)
    assert (definition(Further).stored_type, definition(Further).upgrades) == ("further@4", True)


@pytest.mark.parametrize("name", ["account@2", "a@b@17", "@1", "account@007"])
def test_a_name_that_ends_like_a_version_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match=r"Bad would be stored as '.*', and `@` with digits at the end"):
        type("Bad", (Actor,), {"name": name})


@pytest.mark.parametrize("name", ["a@b", "account@2b", "a@2@b", "@", "account@", "account@٢"])
def test_any_other_name_with_an_at_sign_will_do(name: str) -> None:
    made = type("Good", (Actor,), {"name": name, "state_version": 12})
    assert definition(made).stored_type == f"{name}@12"
    assert split_type(f"{name}@12") == (name, 12)
    assert split_type(name) == (name, 1)


@pytest.mark.parametrize("stored", ["a", "a@", "@2", "a@0", "a@02", "a@-1", "a@1e3", "a@" + "9" * 30, ""])
def test_what_is_no_version_belongs_to_the_name(stored: str) -> None:
    assert split_type(stored) == (stored, 1)


@given(st.text(min_size=1), st.integers(1, 10**18 - 1))
def test_a_type_comes_apart_as_it_was_put_together(name: str, version: int) -> None:
    if split_type(name) == (name, 1):
        assert split_type(join_type(name, version)) == (name, version)
