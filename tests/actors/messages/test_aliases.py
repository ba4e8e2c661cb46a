"""Aliases: rows of renamed actor classes and messages, taken up under their new names."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from grounds import Ground, SqliteGround, pool, tree

from greenroom import (
    Actor,
    Aliases,
    ChildSpec,
    Client,
    ConfigError,
    Message,
    Request,
    Settings,
    StartChild,
    StartFailed,
    SupervisorSpec,
    handler,
)
from greenroom.persistence.store.rows import ActorRow, ChildRow, DeadLetterRow, MessageRow
from greenroom.supervision.offline import edit as offline


class Einzahlung(Message):
    """The old name of `Payment`."""

    betrag: int
    when: str = ""


class Payment(Message):
    betrag: int
    when: str = ""
    note: str = "none"


class Exact(Message):
    text: str
    amount: Decimal
    number: int


class Sum(Request[int]):
    pass


class Purse(msgspec.Struct):
    total: int = 0
    batches: list[int] = []


class Konto(Actor[Purse]):
    """The old `Account`, in a module that is gone."""

    name = "savings:Konto"

    @handler
    def einzahlung(self, message: Einzahlung) -> None:
        self.state.total += message.betrag


class Account(Actor[Purse]):
    @handler
    def payment(self, message: Payment) -> None:
        self.state.total += message.betrag

    @handler
    def sum(self, request: Sum) -> int:
        return self.state.total


class Klingel(Actor[None]):
    """The old `Bell`."""

    name = "savings:Klingel"

    @handler
    def einzahlung(self, message: Einzahlung) -> None: ...


class Bell(Actor[None]):
    @handler
    def payment(self, message: Payment) -> None: ...


OLD, NEW = tree(("alice", Konto)), tree(("alice", Account))
ALICE = "/t/alice"
ACTORS = {"savings:Konto": "test_aliases:Account"}
MESSAGES = {"Einzahlung": "Payment"}


def aliases(actors: dict[str, str] | None = None, messages: dict[str, str] | None = None) -> Settings:
    return Settings(aliases=Aliases(actors=actors or {}, messages=messages or {}))


RENAMED = aliases(ACTORS, MESSAGES)


async def with_old_rows(ground: Ground, count: int = 1, spec: SupervisorSpec = OLD, address: str = ALICE) -> Ground:
    """A state of 5 under the old class, and `count` messages of the old tag that wait: 1, 2, 3, ..."""
    async with ground.node(spec) as system:
        await system.ref(address).tell(Einzahlung(betrag=5))
        await system.idle()
        for number in range(count):
            await system.ref(address).tell(Einzahlung(betrag=number + 1, when="2031-05-01"), delay_s=3600)
        image = ground.image()
    for row in image.rows(MessageRow):
        assert row.type == "Einzahlung"
        image.edit(MessageRow, row.id, sealed=True, due=None)
    return image


async def test_state_and_mail_of_old_names_are_taken_up(ground: Ground) -> None:
    image = await with_old_rows(ground)
    async with image.node(NEW, settings=RENAMED) as system:
        await system.idle()
        assert await system.ref(ALICE).ask(Sum()) == 6
    assert not image.rows(MessageRow)
    assert not image.rows(DeadLetterRow)
    (row,) = image.rows(ActorRow)
    assert (row.type, row.state) == ("test_aliases:Account", '{"total":6,"batches":[]}')
    async with image.node(NEW) as system:  # the alias has done its work
        assert await system.ref(ALICE).ask(Sum()) == 6


async def test_under_a_template(ground: Ground) -> None:
    image = await with_old_rows(ground, 2, tree(pool(Konto)), "/t/pool/alice")
    async with image.node(tree(pool(Account)), settings=RENAMED) as system:
        await system.idle()
        assert await system.ref("/t/pool/alice").ask(Sum()) == 8


async def test_without_the_alias_the_error_says_it(ground: Ground) -> None:
    image = await with_old_rows(ground)
    with pytest.raises(StartFailed) as caught:
        async with image.node(NEW):
            pytest.fail("it started")
    assert 'write "savings:Konto" = "test_aliases:Account" under [aliases.actors]' in str(caught.value)
    async with image.node(NEW, settings=aliases(ACTORS)) as system:
        await system.idle()
        assert await system.ref(ALICE).ask(Sum()) == 5
    (letter,) = image.rows(DeadLetterRow)
    assert letter.cause == "unknown_type"
    assert "or name the new tag under [aliases.messages]; a dead letter can be requeued then" in letter.text
    await offline.requeue(image.store(), [letter.id])
    async with image.node(NEW, settings=RENAMED) as system:
        await system.idle()
        assert await system.ref(ALICE).ask(Sum()) == 6


async def test_a_class_that_was_renamed_and_given_a_name(ground: Ground) -> None:
    class Named(Account):
        name = "account"

    image = await with_old_rows(ground)
    for target in ("account", "test_aliases:test_a_class_that_was_renamed_and_given_a_name.<locals>.Named"):
        again = image.image()
        settings = aliases({"savings:Konto": target}, MESSAGES)
        async with again.node(tree(("alice", Named)), settings=settings) as system:
            assert await system.ref(ALICE).ask(Sum()) == 6
        assert [row.type for row in again.rows(ActorRow)] == ["account"]


async def test_a_name_and_a_version_at_once(ground: Ground) -> None:
    class Cents(msgspec.Struct):
        cents: int

    class Upgraded(Actor[Cents]):
        name = "account"
        state_version = 2

        @classmethod
        def upgrade(cls, state: Any, version: int) -> Any:
            return {"cents": state["total"] * 100 * version}

        @handler
        def payment(self, message: Payment) -> None:
            self.state.cents += message.betrag

    image = await with_old_rows(ground)
    settings = aliases({"savings:Konto": "account"}, MESSAGES)
    async with image.node(tree(("alice", Upgraded)), settings=settings) as system:
        await system.idle()
    assert [(row.type, row.state) for row in image.rows(ActorRow)] == [("account@2", '{"cents":501}')]


async def test_aliases_that_lead_to_each_other(ground: Ground) -> None:
    """Two deployments renamed the class, and its rows are older than both."""
    image = await with_old_rows(ground)
    settings = aliases(
        {"savings:Konto": "savings:Depot", "savings:Depot": "test_aliases:Account"},
        {"Einzahlung": "Zahlung", "Zahlung": "Betrag", "Betrag": "Payment"},
    )
    async with image.node(NEW, settings=settings) as system:
        assert system.kernel.settings.aliases.messages == dict.fromkeys(("Einzahlung", "Zahlung", "Betrag"), "Payment")
        assert await system.ref(ALICE).ask(Sum()) == 6
    assert settings.aliases.messages["Einzahlung"] == "Zahlung", "what the caller gave is the caller's"


async def test_an_actor_without_a_state_is_renamed_too(ground: Ground) -> None:
    image = await with_old_rows(ground, 1, tree(("alice", Klingel)))
    settings = aliases({"savings:Klingel": "test_aliases:Bell"}, MESSAGES)
    async with image.node(tree(("alice", Bell)), settings=settings) as system:
        await system.idle()
    assert [row.type for row in image.rows(ActorRow)] == ["test_aliases:Bell"]
    assert not image.rows(MessageRow)


async def test_a_batch_takes_messages_of_both_names(ground: Ground) -> None:
    class Batched(Actor[Purse]):
        name = "savings:Konto"

        @handler
        def payments(self, messages: list[Payment]) -> None:
            self.state.batches.append(len(messages))
            self.state.total += sum(message.betrag for message in messages)

    image = await with_old_rows(ground, 5)
    for row in image.rows(MessageRow)[3:]:
        body = row.body.replace("Einzahlung", "Payment")
        image.edit(MessageRow, row.id, sealed=True, type="Payment", body=body)
    async with image.node(tree(("alice", Batched)), settings=aliases(messages=MESSAGES)) as system:
        await system.idle()
    (row,) = image.rows(ActorRow)
    assert msgspec.json.decode(row.state) == {"total": 20, "batches": [5]}


async def test_a_client_of_old_code_is_understood(disk: SqliteGround) -> None:
    """Its tells are stored under the new name at once, so that they don't depend on the alias any longer."""
    async with disk.node(NEW, settings=RENAMED) as system:
        async with Client(disk.url) as client:
            await client.tell(ALICE, Einzahlung(betrag=1))
            await client.tell(ALICE, Einzahlung(betrag=2), delay_s=3600)
        await system.idle()
        assert await system.ref(ALICE).ask(Sum()) == 1
    (row,) = disk.rows(MessageRow)
    assert (row.type, msgspec.json.decode(row.body)["$type"]) == ("Payment", "Payment")


async def test_the_fields_come_over_as_they_were_stored(ground: Ground) -> None:
    """Not by way of Python's numbers: what JSON says is what the new class reads."""

    class Keeper(Actor[list[str]]):
        name = "savings:Konto"
        state_version = 2

        @classmethod
        def upgrade(cls, state: Any, version: int) -> Any:
            return [f"{state['total']} of version {version}"]

        def initial_state(self) -> list[str]:
            return []

        @handler
        def exact(self, message: Exact) -> None:
            self.state += [message.text, str(message.amount), str(message.number)]

    image = await with_old_rows(ground)
    (row,) = image.rows(MessageRow)
    body = '{"number": 12345678901234567890123, "$type": "Einzahlung", "amount": 1.10, "text": "5€"}'
    image.edit(MessageRow, row.id, sealed=True, body=body)
    async with image.node(tree(("alice", Keeper)), settings=aliases(messages={"Einzahlung": "Exact"})) as system:
        await system.idle()
    (stored,) = image.rows(ActorRow)
    assert msgspec.json.decode(stored.state) == ["5 of version 1", "5€", "1.10", "12345678901234567890123"]


@pytest.mark.parametrize("body", ["[1]", "{", '"Einzahlung"', '{"$type":"Einzahlung","betrag":"much"}', ""])
async def test_a_body_that_does_not_fit_the_new_class(ground: Ground, body: str) -> None:
    image = await with_old_rows(ground)
    image.edit(MessageRow, image.rows(MessageRow)[0].id, sealed=True, body=body)
    async with image.node(NEW, settings=RENAMED) as system:
        await system.idle()
        assert await system.ref(ALICE).ask(Sum()) == 5
    (letter,) = image.rows(DeadLetterRow)
    assert (letter.cause, letter.type, letter.body) == ("undecodable", "Einzahlung", body)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (aliases({"a:B": "test_aliases:Acount"}), 'module "test_aliases" has no "Acount"'),
        (aliases(messages={"Einzahlung": "Paymnt"}), 'Did you mean "Payment"?'),
        (aliases(messages={"Payment": "Sum"}), "takes messages of that tag"),
        (aliases({"a": 1}), "expected the name that it has now"),  # type: ignore[dict-item]
    ],
)
async def test_mistakes_are_found_before_anything_starts(ground: Ground, settings: Settings, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        async with ground.node(NEW, settings=settings):
            pytest.fail("it started")
    assert str(caught.value).startswith('Settings for "t": aliases.')
    assert why in str(caught.value)


async def test_a_config_files_aliases_and_those_of_the_caller(disk: SqliteGround) -> None:
    """The caller's go before the file's; both hold."""
    from greenroom import start

    image = await with_old_rows(disk)
    assert isinstance(image, SqliteGround)
    file = image.folder / "bank.toml"
    file.write_text(
        f'[store]\nurl = "{image.url}"\n[aliases.messages]\nEinzahlung = "Sum"\n[supervisor]\nid = "t"\n'
        '[[supervisor.children]]\nid = "alice"\nactor = "test_aliases:Account"\n'
    )
    async with start(file, settings=RENAMED) as system:
        await system.idle()
        assert await system.ref(ALICE).ask(Sum()) == 6


async def test_a_child_that_was_started_at_run_time_comes_back_under_its_new_class(ground: Ground) -> None:
    """And its record has the new name from then on."""
    async with ground.node(tree()) as system:
        pooled = pool(Account)
        await system.ref("/t").ask(StartChild(spec=ChildSpec(id="alice", actor=Account)))
        await system.ref("/t").ask(StartChild(spec=pooled))
        await system.ref(ALICE).tell(Payment(betrag=5))
        await system.ref("/t/pool/bob").tell(Payment(betrag=6))
        await system.idle()
    for row in ground.rows(ChildRow):
        if row.id != "t":
            ground.edit(ChildRow, row[:2], sealed=True, spec=row.spec.replace("test_aliases:Account", "savings:Konto"))
    for actor in ground.rows(ActorRow):
        ground.edit(ActorRow, actor.address, sealed=True, type="savings:Konto")
    for _ in range(2):
        async with ground.node(tree(), settings=RENAMED) as system:
            assert await system.ref(ALICE).ask(Sum()) == 5
            assert await system.ref("/t/pool/bob").ask(Sum()) == 6
    async with ground.node(tree()) as system:
        assert await system.ref(ALICE).ask(Sum()) == 5
    assert not [row for row in ground.rows(ChildRow) if "savings" in row.spec]
