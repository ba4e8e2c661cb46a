"""Code that a checker must refuse: the lines marked `# error`, for mypy --strict and pyright, and no others.

Checked by tests/typing/test_typing.py.
"""

from __future__ import annotations

from typing import assert_type

import msgspec

from greenroom.actors.actor import Actor, handler
from greenroom.actors.delivery.ref import ActorRef
from greenroom.actors.messages.message import Message, Request
from greenroom.actors.system import ActorSystem


class Deposit(Message):
    amount: int


class Balance(Request[int]):
    pass


class Book(msgspec.Struct):
    balance: int = 0


Deposit(5)  # error
Deposit()  # error
Deposit(amont=5)  # error
Deposit(amount="5")  # error
Deposit(amount=1).amount = 2  # error


class Account(Actor[Book]):
    max_attempts = "three"  # error
    reject_on = (3,)  # error
    overflow = "drop"  # error

    @handler  # error
    def no_message(self, message: int) -> None: ...

    @handler  # error
    def no_messages(self, messages: list[int]) -> None: ...

    @handler  # error
    def no_parameter(self) -> None: ...

    @handler(process=True)  # error
    def no_such_option(self, message: Deposit) -> None: ...

    @handler
    def deposit(self, message: Deposit) -> None:
        message.amount = 3  # error
        self.state.balnce = 3  # error
        self.schedule("deposit", after_s=1)  # error
        self.schedule(message, at="noon")  # error
        self.schedule(message, cron=5)  # error
        self.address = "/elsewhere"  # error


class Other(Actor[Book]):
    def initial_state(self) -> int:  # error
        return 1

    def on_start(self) -> None: ...  # error


async def use(ref: ActorRef) -> None:
    ref.tell("deposit")  # error
    ref.tell(Deposit)  # error
    await ref.ask(Deposit(amount=1))  # error
    ref.tell(Deposit(amount=1), delay="1s")  # error
    assert_type(await ref.ask(Balance()), str)  # error
    answer: str = await ref.ask(Balance())  # error
    answer.strip()


async def double(number: int) -> int:
    return 2 * number


async def run_tasks(system: ActorSystem) -> None:
    tasks = system.tasks("/app/tasks")
    await tasks.run(len, "four")  # error
    await tasks.run(double(1))  # error
    tasks.start(double, 1, restart="permanent")  # error
    tasks.map(double, ["one"])  # error
