"""The state an actor class declares, and the name it is stored under."""

import dataclasses
import runpy
import sys
import types
from pathlib import Path
from typing import Any

import msgspec
import pytest
from account_definition import Book, definition, spec
from processes import run

from greenroom.actors.actor import Actor, handler
from greenroom.actors.messages.errors import StateError
from greenroom.actors.messages.message import Request


class Account(Actor[Book]):
    """The names of this module's own classes are what is tested."""


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
from greenroom.actors.actor import Actor
class Account(Actor[None]): pass
if __name__ == "__main__":
    print(Account.__definition__.name)
"""


@pytest.mark.process
def test_a_script_stores_its_own_name(tmp_path: Path) -> None:
    package = tmp_path / "pkg"
    package.mkdir()
    for file in (tmp_path / "bank.py", package / "shop.py", package / "__main__.py"):
        file.write_text(SCRIPT)
    env = {"PYTHONPATH": ":".join(path for path in sys.path if path)}

    def output(*args: str) -> str:
        return run([sys.executable, *args], cwd=tmp_path, env=env, check=True).stdout.strip()

    assert output("bank.py") == "bank:Account"
    assert output("-m", "pkg.shop") == "pkg.shop:Account"
    assert output("-m", "pkg") == "pkg:Account"
    assert runpy.run_path(str(tmp_path / "bank.py"))["Account"].__definition__.name == "<run_path>:Account"
