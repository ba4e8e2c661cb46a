"""An actor with timers and a stash, for the nodes of these tests."""

from __future__ import annotations

from greenroom import Actor, Message, handler


class Wake(Message):
    label: str = ""


class Plan(Message):
    every_s: float | None = None
    cron: str | None = None
    name: str | None = None


class Waker(Actor[None]):
    @handler
    def plan(self, message: Plan) -> None:
        self.schedule(Wake(label="up"), every_s=message.every_s, cron=message.cron, name=message.name)

    @handler
    def wake(self, message: Wake) -> None:
        self.stash()
