"""Code as users write it, and the types that a checker must see. No line here may be an error.

Checked by tests/typing/test_typing.py with mypy --strict and pyright.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Generic, TypeVar, assert_type

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from greenroom import Aliases, Settings
from greenroom.actors.actor import Actor, handler
from greenroom.actors.definition.definition import Definition
from greenroom.actors.definition.options import Backoff
from greenroom.actors.delivery.errors import AskTimeout, MailboxFull
from greenroom.actors.delivery.ref import ActorRef, Receipt
from greenroom.actors.extensions.tasks.task import Task
from greenroom.actors.kernel.turn import Turn
from greenroom.actors.messages.message import Message, Request
from greenroom.actors.messages.signals import Exited, ExitReason
from greenroom.actors.system import ActorSystem
from greenroom.supervision.supervisor.task_supervisor import TaskInfo, WhichTasks

T = TypeVar("T")
S = TypeVar("S")


class Deposit(Message):
    amount: int
    note: str = ""
    tags: list[str] = msgspec.field(default_factory=list)


class Renamed(Message, tag="old-name"):
    pass


class Balance(Request[int]):
    currency: str = "EUR"


class Flush(Request[None]):
    pass


class Get(Request[T], Generic[T]):
    key: str


class Find(Get[T | None], Generic[T]):
    pass


class Book(msgspec.Struct):
    balance: int = 0


class Account(Actor[Book]):
    name = "account"
    durable = True
    max_attempts = 3
    backoff = Backoff(initial_s=0.5)
    retry_on = (ConnectionError,)
    reject_on = (ValueError, KeyError)
    trap_exits = True
    handler_timeout_s = None
    overflow = "reject"

    def __init__(self, *, currency: str = "EUR") -> None:
        self.currency = currency

    async def on_start(self) -> None:
        assert_type(self.state, Book)

    async def on_stop(self, reason: ExitReason) -> None:
        assert_type(reason.text, str)

    @handler
    async def deposit(self, message: Deposit) -> None:
        self.state.balance += message.amount
        assert_type(message.amount, int)
        assert_type(message.tags, list[str])

    @handler
    def balance(self, message: Balance) -> int:
        return self.state.balance

    @handler(external=True)
    async def batch(self, messages: list[Renamed]) -> None:
        assert_type(messages, list[Renamed])

    @handler()
    def flush(self, message: Flush) -> None: ...

    @handler
    def exited(self, message: Exited) -> None:
        assert_type(message.reason, ExitReason)
        assert_type(message.message_uid, str | None)

    def instance_api(self) -> None:
        assert_type(self.address, str)
        assert_type(self.ref, ActorRef)
        assert_type(self.supervisor, ActorRef)
        assert_type(self.system, ActorSystem)
        assert_type(self.turn, Turn)
        assert_type(self.now(), datetime)
        assert_type(self.random.random(), float)
        self.stop()
        self.stop(ExitReason.shutdown("enough"))
        self.retire()
        self.ref.tell(Deposit(amount=1), key="k", delay_s=1.0, priority=2)
        assert_type(self.monitor(self.ref), str)
        self.demonitor("id")
        self.link(self.ref)
        self.unlink(self.ref)
        assert_type(self.schedule(Deposit(amount=1), after_s=1), str)
        self.schedule(Deposit(amount=1), every_s=0.5, name="save")
        self.schedule(Deposit(amount=1), cron="*/5 * * * *", timezone="Europe/Berlin")
        self.schedule(Deposit(amount=1), at=datetime.now(UTC))
        assert_type(self.cancel("save"), bool)
        self.stash()
        self.unstash_all()
        assert_type(self.turn.put_aside, bool)
        self.join("accounts")
        self.leave("accounts")
        accounts = self.system.group("accounts")
        assert_type(accounts.members(), list[ActorRef])
        assert_type(accounts.tell_one(Deposit(amount=1), key="k"), Receipt)
        accounts.tell_all(Deposit(amount=1), delay_s=1.0, priority=2)

    async def sql(self) -> None:
        async with self.transaction() as connection:
            assert_type(connection, AsyncConnection)


class Savings(Account):
    @handler
    async def deposit(self, message: Deposit) -> None:
        await super().deposit(message)
        await self.deposit(message)


class Base(Actor[S], Generic[S]):
    def peek(self) -> S:
        return self.state


class Concrete(Base[Book]):
    def initial_state(self) -> Book:
        return Book(balance=1)

    def receive(self, message: Message) -> int | None:
        match message:
            case Deposit(amount=amount):
                assert_type(amount, int)
                return None
            case Balance():
                return self.peek().balance
            case _:
                return super().receive(message)  # type: ignore[no-any-return]


class Upgraded(Account):
    state_version = 2

    @classmethod
    def upgrade(cls, state: Any, version: int) -> Book:
        return Book(balance=state["cents"] // 100 * version)


RENAMED = Settings(aliases=Aliases(actors={"bank:Konto": "bank:Account"}, messages={"Einzahlung": "Deposit"}))


class Stateless(Actor[None]):
    async def receive(self, message: Message) -> None:
        assert_type(self.state, None)


async def use(ref: ActorRef) -> None:
    assert_type(await ref.ask(Balance()), int)
    assert_type(await ref.ask(Balance(currency="USD"), timeout_s=1.0), int)
    assert_type(await ref.ask(Flush()), None)
    assert_type(await ref.ask(Get[str](key="a")), str)
    assert_type(await ref.ask(Find[str](key="a")), str | None)
    assert_type(Account.__definition__, Definition)
    account = Account(currency="USD")
    assert_type(account.balance(Balance()), int)
    assert_type(await account.deposit(Deposit(amount=1)), None)
    await ref.tell(Deposit(amount=5, note="rent"))
    ref.tell(Balance())
    try:
        await ref.ask(Balance())
    except MailboxFull as error:
        assert_type(error.capacity, int)
    except AskTimeout as error:
        assert_type(error.timeout_s, float)
    except TimeoutError:
        pass


async def double(number: int, *, times: int = 2) -> int:
    return number * times


async def run_tasks(system: ActorSystem) -> None:
    tasks = system.tasks("/app/tasks")
    assert_type(await tasks.run(double, 1, timeout_s=5.0), int)
    task = tasks.start(double, 1, times=3, restart="transient", backoff=Backoff())
    assert_type(task, Task[int])
    assert_type(await task, int)
    anything: Task[object] = task
    anything.cancel()
    async for number in tasks.map(double, [1, 2], limit=3):
        assert_type(number, int)
    assert_type(await system.ref("/app/tasks").ask(WhichTasks()), list[TaskInfo])
