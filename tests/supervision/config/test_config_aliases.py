"""`[aliases]` in config files: what it may say, and what is wrong with it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from config_samples import ACCOUNT, LEDGER, ROOT, refused
from json_schema import violations

from greenroom.supervision.config.load import Setting, config_schema, load_config
from greenroom.supervision.spec.aliases import aliased, aliased_spec
from greenroom.supervision.spec.spec import ChildSpec, SupervisorSpec

TILL = """\
from greenroom import Actor, Message, handler


class Sale(Message):
    amount: int


class Refund(Message, tag="refund"):
    amount: int


class Till(Actor[None]):
    name = "till"

    @handler
    def sale(self, message: Sale) -> None: ...

    @handler
    def refund(self, message: Refund) -> None: ...


class Kasse(Actor[None]):
    pass


Cashbox = Till


def price() -> None: ...
"""

TREE = ROOT + LEDGER + '[[supervisor.children]]\nid = "till"\nactor = "till:Till"\n'


@pytest.fixture(autouse=True)
def till(app: Path) -> None:
    (app / "till.py").write_text(TILL)


def loaded(aliases: str, tree: str = TREE) -> Any:
    Path("bank.toml").write_text(aliases + tree)
    return load_config("bank.toml", environ={})


def said(aliases: str, tree: str = TREE) -> str:
    Path("bank.toml").write_text(aliases + tree)
    return str(refused("bank.toml"))


def test_each_leads_straight_to_what_there_is() -> None:
    config = loaded(
        '[aliases.actors]\n"bank:Buch" = "bank:Book"\n"bank:Book" = "bank:Ledger"\nkasse = "till"\n'
        '"shop:Till" = "till:Till"\n"bank:Old" = "bank:Archive"\n"shop:Kasse" = "till:Cashbox"\n'
        '[aliases.messages]\nVerkauf = "Sell"\nSell = "Sale"\nBack = "refund"\n'
    )
    assert config.aliases.actors == {
        "bank:Buch": "bank:Ledger",
        "bank:Book": "bank:Ledger",
        "kasse": "till:Till",
        "shop:Till": "till:Till",
        "bank:Old": "bank:Archive",  # in no tree: a child that was started at run time
        "shop:Kasse": "till:Till",
    }
    assert config.aliases.messages == {"Verkauf": "Sale", "Sell": "Sale", "Back": "refund"}
    assert Setting("aliases.messages.Back", "refund", "file bank.toml") in config.effective()
    assert Setting('aliases.actors."bank:Buch"', "bank:Ledger", "file bank.toml") in config.effective()


def test_none_are_needed() -> None:
    assert loaded("").aliases.actors == {}
    assert loaded("[aliases]\n").aliases.messages == {}


def test_what_a_renamed_class_still_goes_by_in_its_module_hides_nothing() -> None:
    assert loaded('[aliases.actors]\n"till:Cashbox" = "till:Till"\n').aliases.actors == {"till:Cashbox": "till:Till"}


MISTAKES = {
    "aliases = 3\n": "aliases: found 3, expected a table. In TOML: [aliases.actors]",
    '[aliases]\nOld = "New"\n': (
        'aliases.Old: there is no such key. Write "old" = "new" under [aliases.actors] or [aliases.messages].'
    ),
    "[aliases.actor]\n": 'aliases.actor: there is no such key. Did you mean "actors"?',
    '[aliases]\nactors = "bank:Old"\n': (
        'aliases.actors: found "bank:Old", expected a table of old names to new ones. In TOML: [aliases.actors] and '
        'then "old" = "new"'
    ),
    '[aliases.actors]\n"bank:Old" = 3\n': 'aliases.actors."bank:Old": found 3, expected the name that it has now',
    '[aliases.messages]\n"" = "Sale"\n': 'aliases.messages."": found "Sale", expected no alias for an empty name',
    '[aliases.messages]\nOld = ""\n': 'aliases.messages.Old: found "", expected the name that it has now, as a text',
    '[aliases.actors]\n"bank:Old" = "bank:Leger"\n': (
        'aliases.actors."bank:Old": "bank:Leger": module "bank" has no "Leger" ({app}/bank.py). '
        'Did you mean "bank:Ledger"?'
    ),
    '[aliases.actors]\n"bank:Old" = "nowhere:Ledger"\n': 'there is no module "nowhere" in {app} or on sys.path',
    '[aliases.actors]\n"bank:Old" = "bank:NoActor"\n': 'found "bank:NoActor", expected an actor class',
    '[aliases.actors]\n"bank:Old" = "tull"\n': (
        'aliases.actors."bank:Old": no actor class of the tree is stored as "tull". Did you mean "till"?'
    ),
    '[aliases.actors]\n"bank:Old" = "?"\n': "It must be the stored name of a class in the tree, or module:Class.",
    '[aliases.messages]\nOld = "Sales"\n': (
        'aliases.messages.Old: no message class is stored as "Sales". Did you mean "Sale"?'
    ),
    '[aliases.messages]\nOld = "xyz"\n': "It must be the tag of a message class that the tree's modules import.",
    '[aliases.messages]\nA = "B"\nB = "C"\nC = "B"\n': (
        "aliases.messages.A: it leads round in a circle: B -> C -> B. Let it end at the name that there is now."
    ),
    '[aliases.messages]\nA = "A"\n': "aliases.messages.A: it leads round in a circle: A -> A.",
    '[aliases.messages]\nA = "B"\nB = "Cx"\n': 'aliases.messages.B: no message class is stored as "Cx".',
    '[aliases.actors]\n"bank:Ledger" = "till"\n': (
        'aliases.actors."bank:Ledger": there is no need for this alias, and it would hide what there is: bank:Ledger '
        "is in the tree under that name. Remove it, or rename that class."
    ),
    '[aliases.actors]\ntill = "bank:Ledger"\n': "till:Till is in the tree under that name",
    '[aliases.actors]\n"till:Kasse" = "till"\n': "till:Kasse is an actor class",
    '[aliases.messages]\nSale = "refund"\n': "till:Till takes messages of that tag",
}


@pytest.mark.parametrize(("text", "message"), MISTAKES.items(), ids=MISTAKES.values())
def test_a_mistake_gives_its_file_its_key_and_its_fix(app: Path, text: str, message: str) -> None:
    found = said(text)
    assert found.startswith("bank.toml: aliases")
    assert message.format(app=app) in found
    assert "\n" not in found, "one mistake is one problem"


def test_all_mistakes_at_once() -> None:
    text = said('[aliases.actors]\na = "b"\nb = "a"\nc = "nope"\n[aliases.messages]\nd = "nope"\n')
    assert text.startswith("bank.toml: 3 problems\n")


def test_mistakes_of_the_tree_come_before_what_depends_on_it() -> None:
    text = said('[aliases.messages]\nA = 3\nB = "Sale"\n', TREE.replace("till:Till", "till:Tull"))
    assert "aliases.messages.A" in text
    assert 'module "till" has no "Tull"' in text
    assert "aliases.messages.B" not in text


def test_a_long_chain_is_no_work() -> None:
    count = 20_000
    lines = "".join(f'n{place} = "n{place + 1}"\n' for place in range(count))
    config = loaded(f'[aliases.messages]\n{lines}n{count} = "Sale"\n')
    assert set(config.aliases.messages.values()) == {"Sale"}
    assert len(config.aliases.messages) == count + 1


def test_json_and_the_schema_know_them() -> None:
    content = {
        "aliases": {"actors": {"bank:Old": "bank:Account"}, "messages": {}},
        "supervisor": {"id": "bank", "children": [{"id": "a", "actor": "bank:Account"}]},
    }
    Path("bank.json").write_text(json.dumps(content))
    assert load_config("bank.json", environ={}).aliases.actors == {"bank:Old": "bank:Account"}
    schema = config_schema()
    assert not violations(content, schema, schema)
    for wrong in ({"actors": {"a": 3}}, {"actor": {}}, {"messages": []}, 3):
        assert violations({**content, "aliases": wrong}, schema, schema), wrong


def test_stored_specs_get_the_classes_of_now() -> None:
    aliases = loaded('[aliases.actors]\n"bank:Old" = "bank:Account"\n', ROOT + ACCOUNT).aliases
    assert aliased("bank:Old", aliases) == "bank:Account"
    assert aliased("bank:Other", aliases) == "bank:Other"
    child = ChildSpec(id="a", actor="bank:Old", args={"x": 1})
    assert aliased_spec(child, aliases) == ChildSpec(id="a", actor="bank:Account", args={"x": 1})
    pool = SupervisorSpec(id="p", strategy="dynamic", template=child)
    template = aliased_spec(pool, aliases).template  # type: ignore[union-attr]
    assert template is not None
    assert template.actor == "bank:Account"
    assert "till" not in sys.modules, "nothing but what the tree names was imported"
