"""A tree, rows put into its store by hand, and what the upgrade check says of them."""

from __future__ import annotations

from typing import Any

import msgspec
from grounds import Ground, pool, tree

from greenroom import Actor, Aliases, Message, SupervisorSpec, handler
from greenroom.persistence.store.checksums import seal
from greenroom.persistence.store.commit import Commit
from greenroom.persistence.store.rows import ActorRow, ChildRow, DeadLetterRow, InboxRow, MessageRow
from greenroom.supervision.offline.upgrade_check import Report, check_store
from greenroom.supervision.spec.aliases import settle_aliases
from greenroom.supervision.supervisor.child_rows import encode_spec


class Put(Message):
    amount: int


class Stock(msgspec.Struct):
    count: int = 0


class Shelf(Actor[Stock]):
    name = "shelf"
    max_attempts = 2
    state_version = 2

    @classmethod
    def upgrade(cls, state: Any, version: int) -> Any:  # noqa: ARG003
        return {"count": state["pieces"]}

    @handler
    def put(self, message: Put) -> None:
        self.state.count += message.amount


class Sign(Actor[None]):
    name = "sign"

    @handler
    def put(self, message: Put) -> None: ...


class Light(Actor[Stock]):
    durable = False

    @handler
    def put(self, message: Put) -> None: ...


TREE = tree(
    ("one", Shelf), ("sign", Sign), ("light", Light), pool(Shelf), SupervisorSpec(id="guests", strategy="dynamic")
)


def state(address: str, type: str = "shelf@2", state: str = '{"count":1}') -> ActorRow:
    return seal(ActorRow(address, type, state, 1, 1.0))


def message(number: int, address: str, type: str = "Put", body: str = '{"$type":"Put","amount":1}') -> MessageRow:
    return seal(MessageRow(number, address, 0, None, f"{number:032x}", "", None, type, body))


def letter(number: int, address: str, type: str = "Put", body: str = '{"$type":"Put","amount":1}') -> DeadLetterRow:
    return seal(DeadLetterRow(number, address, f"{number:032x}", "", None, type, body, 1, "failed", "", "", "", 1.0))


def tell(number: int, address: str, type: str = "Put", kind: str = "tell") -> InboxRow:
    body = '{"$type":"Put","amount":1}'
    return seal(InboxRow(number, f"{number:032x}", kind, address, type, body, None, 0, None, None, 0))


def child(address: str, spec: Any, status: str = "started", text: str | None = None) -> ChildRow:
    above, _, id = address.rpartition("/")
    return seal(ChildRow(above, id, 9, encode_spec(spec) if text is None else text, status))


async def put(ground: Ground, *rows: Any) -> None:
    store = ground.store()
    owner = await store.open()
    commit = Commit(owner.commit_no + 1)
    commit.inserts += [row for row in rows if isinstance(row, MessageRow)]
    commit.put(*(row for row in rows if not isinstance(row, MessageRow)))
    await store.commit(commit)
    await store.close()


async def checked(
    ground: Ground, spec: SupervisorSpec = TREE, aliases: Aliases | None = None, **options: Any
) -> Report:
    store = ground.store()
    await store.open_reader()
    try:
        return await check_store(store, spec, settle_aliases(aliases or Aliases(), spec), **options)
    finally:
        await store.close()


def brief(report: Report) -> list[tuple[str, str, int]]:
    return [(found.address, found.what, found.count) for found in report.problems]
