"""Ways: steps that call the node from other places, rightly and wrongly, and that send values of any kind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from odd_calls import ABROAD, DOORS, PLACES, begin
from odd_messages import Echo, Parcel, Question, carrier, parcel
from odd_script import Script
from odd_values import BAD, GOOD, VALUES, alike

from greenroom import ActorSystem, AskFailed, UndecodableMessage
from greenroom.persistence.errors import GreenroomError

if TYPE_CHECKING:
    from odd_programs import Run
    from odd_steps import Step

__all__ = ("Ways",)


class Ways:
    def __init__(self, run: Run) -> None:
        self.run = run
        self.pauses: list[Callable[[], None]] = []
        """What is to be done while the loop stands still (`run_program`)."""

    async def step(self, system: ActorSystem, step: Step) -> None:
        act, to = step.act, step.to
        assert act is not None
        match step.what:
            case "call":
                door, _, place = act.what.removeprefix("calls ").partition("; ")
                await self.call(place, door, lambda: DOORS[door](system, to))
            case "receipt":
                receipt = self.run.tell(system, to, step.kind, step)
                if system.kernel.cells[to].durable:
                    await self.call(act.what, "a receipt", lambda: receipt)
            case "send":
                self.send(system, to, act.what, step)
            case "echo":
                self.run.later(self.echo(system, to, act.what, step.hook))
            case "tell from a thread":
                message = self.run.message(to, step.kind, step)
                begin(lambda: system.ref(to).from_thread.tell(message))
            case "ask from a thread":
                request = Question(what=act.what, waits=act.waits)
                self.run.later(self.ask_from_thread(system, to, request, fails=act.fails))

    async def call(self, place: str, door: str, call: Callable[[], Any]) -> None:
        if place in PLACES:
            PLACES[place](door, call)
            return
        self.pauses.append(lambda: ABROAD[place](door, call))
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0)

    def send(self, system: ActorSystem, address: str, name: str, step: Step) -> None:
        """Send a value, which is refused if it would come back different."""
        number = Script.forbid() if name in BAD else self.run.enter(address, step)
        message = carrier(number, name)
        ref = system.ref(address)
        if step.hook == "from a thread":
            begin(lambda: self.must(name, lambda: ref.from_thread.tell(message)))
            return
        options: dict[str, Any] = {
            "with a key": {"key": "forbidden" if name in BAD else str(number)},
            "first": {"priority": 1},
            "later": {"delay_s": 0.0},
        }.get(step.hook, {})
        self.must(name, lambda: ref.tell(message, **options))

    def must(self, name: str, send: Callable[[], Any]) -> None:
        try:
            send()
        except UndecodableMessage as error:
            if name in GOOD:
                Script.note(f"{name} was refused: {error}")
        else:
            if name in BAD:
                Script.note(f"{name} was accepted")

    async def echo(self, system: ActorSystem, address: str, wanted: str, carried: str) -> None:
        """Ask for a value, and carry one."""
        try:
            reply = await system.ref(address).ask(Echo(wanted=wanted, carried=parcel(carried)), timeout_s=3600)
        except UndecodableMessage:
            self.run.need(carried in BAD, f"a request with {carried} was refused")
        except AskFailed as error:
            self.run.need(carried in GOOD, f"a request with {carried} was sent")
            struck = "cancelled" in str(error)
            self.run.need(wanted in BAD or struck, f"a reply with {wanted} was refused: {error}")
        except GreenroomError as error:  # it was stopped meanwhile
            self.run.need("no actor" in str(error), f"an ask of {address}: {error!r}")
        else:
            self.run.need(carried in GOOD and wanted in GOOD, f"{carried} and {wanted} were asked and answered")
            self.same(reply, wanted)

    def same(self, reply: Parcel, wanted: str) -> None:
        field, value = VALUES[wanted]
        self.run.need(alike(value, getattr(reply, field)), f"a reply with {wanted} came back as {reply}")

    async def ask_from_thread(self, system: ActorSystem, address: str, request: Question, *, fails: bool) -> None:
        reply = begin(lambda: system.ref(address).from_thread.ask(request, timeout_s=3600))
        try:
            await asyncio.wrap_future(reply)
        except AskFailed:
            return
        except GreenroomError as error:
            self.run.need("no actor" in str(error), f"an ask of {address} from a thread: {error!r}")
            return
        self.run.need(not fails, f"{address} answered a thread all the same")

    async def threads_end(self) -> None:
        """Every thread comes to its end, and none has failed."""
        while Script.threads:
            threads, Script.threads[:] = Script.threads[:], []
            for thread in threads:
                try:
                    await asyncio.wrap_future(thread)
                except (AskFailed, GreenroomError):  # whoever waits for it has judged it
                    pass
