"""`check --against` and `--diff` as they are typed: code and config that change on disk, beside a real store."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import Done, Place, Running

from greenroom import Message
from greenroom.supervision.cli.commands import comparing

SHOP = """
from typing import Any
import msgspec
from greenroom import Actor, Message, handler

class Sale(Message):
    amount: int

class Book(msgspec.Struct):
    euros: int = 0

class Till(Actor[Book]):
    name = "till"

    @handler
    def sale(self, message: Sale) -> None:
        self.state.euros += message.amount
"""

BETTER_SHOP = """
from typing import Any
import msgspec
from greenroom import Actor, Message, handler

class Sold(Message):
    amount: int

class Book(msgspec.Struct):
    cents: int

class CashDesk(Actor[Book]):
    name = "desk"
    state_version = 2

    @classmethod
    def upgrade(cls, state: Any, version: int) -> Any:
        return {"cents": state["euros"] * 100}

    def initial_state(self) -> Book:
        return Book(cents=0)

    @handler
    def sold(self, message: Sold) -> None:
        self.state.cents += message.amount * 100
"""


class Sale(Message):
    amount: int


CONFIG = """
[store]
url = "sqlite:///shop.db"
{aliases}
[supervisor]
id = "shop"

[[supervisor.children]]
id = "front"
actor = "shop:{cls}"
args = {{}}
{more}
[[supervisor.children]]
id = "stands"
strategy = "dynamic"
template = {{ id = "x", actor = "shop:{cls}" }}
"""

ALIASES = """
[aliases.actors]
till = "desk"

[aliases.messages]
Sale = "Sold"
"""


DELETE = "`greenroom actors delete /shop/front`"


class Shop:
    """A folder with the code, its config and (once it was run) its store."""

    def __init__(self, place: Place) -> None:
        self.place = place
        (place.folder / "greenroom.toml").unlink()
        self.write(SHOP, cls="Till")

    def write(self, code: str, *, cls: str, aliases: str = "", more: str = "") -> None:
        (self.place.folder / "shop.py").write_text(code)
        (self.place.folder / "shop.toml").write_text(CONFIG.format(cls=cls, aliases=aliases, more=more))

    def work(self) -> None:
        """A life of the node: two actors with a state, and a message that waits."""
        for address in ("/shop/front", "/shop/stands/a"):
            self.place.do("send", address, "Sale", '{"amount": 5}', "--tree", "shop.toml")
        self.place.do("send", "/shop/stands/b", "Sale", '{"amount": 1}', "--delay-s", "9999", "--tree", "shop.toml")
        assert self.run().wait() == 0

    def run(self) -> Running:
        return self.place.run("shop.toml", "--until-idle")

    def check(self, *arguments: str, code: int = 0) -> Done:
        """In a process of its own: it imports the code of now."""
        return self.place.shell("check", "shop.toml", *arguments, code=code)

    def said(self, *arguments: str, code: int = 0) -> Done:
        """In this one, where the code stays what it was."""
        return self.place.do("check", "shop.toml", *arguments, code=code)


@pytest.fixture
def shop(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "shop", raising=False)  # of another test's folder
    shop = Shop(place)
    store = place.folder / "shop.db"
    place.url = f"sqlite:///{store}"
    place.prepare()
    shop.work()
    yield shop
    sys.modules.pop("shop", None)


def test_a_deployment_is_checked_mended_and_run(shop: Shop) -> None:
    _, said = shop.check("--against")
    assert said == "rows read: 3 children, 2 states, 1 message. This code reads all of them\n"
    shop.write(BETTER_SHOP, cls="CashDesk")
    table, said = shop.check("--against", code=1)
    lines = table.splitlines()
    assert lines[0].split() == ["address", "what", "count", "why", "what", "to", "do", "example"]
    assert [line.split()[:3] for line in lines if line.startswith("/shop")] == [
        ["/shop/front", "state", "1"],
        ["/shop/stands/a", "state", "1"],
        ["/shop/stands/b", "message", "1"],
    ]
    assert "This code can't read 3 of them" in said
    shop.write(BETTER_SHOP, cls="CashDesk", aliases=ALIASES)
    shop.check("--against")
    for address in ("/shop/front", "/shop/stands/a"):
        shop.place.do("send", address, "Sold", '{"amount": 1}', "--tree", "shop.toml")
    assert shop.run().wait() == 0
    shown = shop.place.do("actors", "list", "--tree", "shop.toml", "--json").stdout
    states = {actor["address"]: (actor["type"], actor["state"]) for actor in json.loads(shown)}
    assert states["/shop/front"] == ("desk@2", {"cents": 600})
    assert states["/shop/stands/a"] == ("desk@2", {"cents": 600})


def test_the_store_may_be_named_by_path_or_url_or_left_out(shop: Shop, tmp_path: Path) -> None:
    place = shop.place
    wanted = f"sqlite:///{place.folder}/shop.db"
    for given in ((), ("shop.db",), ("./shop.db",), ("sqlite:///shop.db",), (str(place.folder / "shop.db"),)):
        for option in ("--against", "--diff"):
            found = json.loads(place.do("check", "shop.toml", option, *given, "--json").stdout)
            assert found["store"].replace("/./", "/") == wanted
    assert json.loads(place.do("check", "shop.toml", "--json", "--against").stdout)["problems"] == []
    assert json.loads(place.do("check", "--against=shop.db", "shop.toml", "--json").stdout)["problems"] == []
    place.do("check", "--against", "shop.db", code=2)  # no greenroom.toml here
    (place.folder / "shop.toml").rename(place.folder / "greenroom.toml")
    assert "This code reads all of them" in place.do("check", "--against").stderr
    assert "nothing would change" in place.do("check", "--diff", "shop.db").stderr


def test_mistakes_of_usage(shop: Shop) -> None:
    for arguments, code, why in (
        (("--against", "nowhere.db"), 3, "there is no store at"),
        (("--against", "shop.toml"), 2, "name it first, as in `greenroom check shop.toml --against`"),
        (("--against", "memory://"), 2, "keeps nothing to compare with"),
        (("--diff", "mysql://here"), 2, "no engine 'mysql'"),
        (("--against", "--diff"), 2, "one at a time"),
        (("--exit-code",), 2, "--exit-code goes with --diff"),
        (("--against", "shop.py"), 3, "shop.py"),
    ):
        assert why in shop.place.do("check", "shop.toml", *arguments, code=code).stderr


def test_what_would_change(shop: Shop) -> None:
    assert shop.said("--diff", "--exit-code").stderr == "nothing would change\n3 children stay as they are\n"
    changed = (shop.place.folder / "shop.toml").read_text().replace('id = "front"', 'id = "back"')
    changed = changed.replace('strategy = "dynamic"', 'strategy = "dynamic"\nintensity = 9')
    (shop.place.folder / "shop.toml").write_text(changed)
    table, said = shop.said("--diff")
    words = [" ".join(line.split()) for line in table.splitlines()]
    assert words == [
        "change address what",
        "new /shop/back shop:Till",
        f"left /shop/front stays, stopped; 1 state and 0 messages are kept. Delete it with {DELETE}",
        "changed /shop/stands intensity: 3 -> 9",
    ]
    assert said == "1 child stays as it is\n"
    shop.said("--diff", "--exit-code", code=1)
    found = json.loads(shop.said("--diff", "--json").stdout)
    assert [child["address"] for child in found["new"]] == ["/shop/back"]
    assert found["changed"][0]["fields"] == {"intensity": [3, 9]}
    shop.said("--against")  # what left is no problem
    assert shop.run().wait() == 0
    assert "left before, and still there, stopped: /shop/front" in shop.said("--diff").stderr


def test_beside_a_running_node(shop: Shop) -> None:
    node = shop.place.run("shop.toml")
    node.wait_for("/shop is up")
    assert "This code reads all of them" in shop.place.do("check", "shop.toml", "--against").stderr
    assert "nothing would change" in shop.place.do("check", "shop.toml", "--diff").stderr
    node.stop()


def test_a_long_scan_says_how_far_it_is(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "QUIET_S", 0.0)
    monkeypatch.setattr(comparing, "PLAIN_S", 0.0)
    shop.place.tell(*(("/shop/front", Sale(amount=1)) for _ in range(2_000)))
    done = shop.said("--against")
    assert "1,000 of 2,006 rows read\n2,000 of 2,006 rows read\n" in done.stderr
    assert "2,000 inbox rows" in done.stderr
    assert done.stdout == ""


def test_a_file_that_does_not_load_is_told_first(shop: Shop) -> None:
    shop.write(SHOP, cls="Tull")
    assert 'module "shop" has no "Tull"' in shop.check("--against", code=2)[1]
    shop.write(SHOP, cls="Till", aliases='[aliases.messages]\nOld = "Sail"\n')
    assert (
        'aliases.messages.Old: no message class is stored as "Sail". Did you mean "Sale"?'
        in shop.check("--against", code=2)[1]
    )
    shop.write(SHOP.replace('name = "till"', 'name = "till"\n    state_version = "2"'), cls="Till")
    assert "Till.state_version is '2'" in shop.check(code=2)[1]
