"""An actor that puts aside what comes while it is closed, and keeps account of what it has handled."""

from __future__ import annotations

import asyncio

import msgspec
from grounds import tree

from greenroom import Actor, ActorSystem, Backoff, ChildSpec, Message, Request, SupervisorSpec, handler

D = "/t/door"


class Knock(Message):
    label: str
    then: str = ""
    """The work that the turn does besides, if it puts the message aside: tell, fail, retire, again, first, both."""


class Batch(Message):
    label: str


class Open(Message):
    then: str = ""


class Close(Message):
    pass


class Enter(Request[str]):
    label: str
    then: str = ""


class Guests(Request[list[str]]):
    pass


class Keys(Request[list[str]]):
    pass


class Note(Message):
    """A tell of a turn that puts its message aside."""

    label: str


class Notes(Request[list[tuple[str, str]]]):
    """Label and uid of each."""


class Crash(Message):
    error: bool = True


class Book(msgspec.Struct):
    open: bool = False
    guests: list[str] = []
    keys: list[str] = []
    """Of the turns that have let somebody in."""
    refused: int = 0
    """How often somebody was put aside."""


class Door(Actor[Book]):
    backoff = Backoff(initial_s=0.001, factor=1.0, jitter=0.0)
    gate: asyncio.Event

    def in_or_aside(self, label: str, then: str) -> bool:
        if self.state.open:
            self.state.guests.append(label)
            self.state.keys.append(self.turn.key)
            if then == "tell":
                self.system.ref("/t/notes").tell(Note(label=f"{label} is in"))
            return True
        self.state.refused += 1
        match then:
            case "tell":
                self.system.ref("/t/notes").tell(Note(label=f"{label} waits"))
            case "first":
                self.unstash_all()
        self.stash()
        assert self.turn.put_aside
        match then:
            case "fail" if self.turn.attempt == 1:
                raise RuntimeError("boom")
            case "retire":
                self.retire()
            case "again":
                self.stash()
            case "both" if self.state.refused < 5:
                self.unstash_all()
        return False

    @handler
    def knock(self, message: Knock) -> None:
        self.in_or_aside(message.label, message.then)

    @handler
    async def enter(self, request: Enter) -> str:
        if request.then == "wait":
            await Door.gate.wait()
        if request.then == "transaction":
            async with self.transaction():
                inside = self.in_or_aside(request.label, request.then)
        else:
            inside = self.in_or_aside(request.label, request.then)
        return f"welcome, {request.label}" if inside else ""

    @handler
    def batch(self, messages: list[Batch]) -> None:
        if self.state.open:
            self.state.guests.append("+".join(message.label for message in messages))
        else:
            self.stash()

    @handler
    def opens(self, message: Open) -> None:
        self.state.open = True
        self.unstash_all()
        if message.then == "fail" and self.turn.attempt == 1:
            raise RuntimeError("boom")

    @handler
    def closes(self, message: Close) -> None:
        self.state.open = False

    @handler
    def guests(self, request: Guests) -> list[str]:
        return self.state.guests

    @handler
    def keys(self, request: Keys) -> list[str]:
        return self.state.keys

    @handler
    def crash(self, message: Crash) -> None:
        if message.error:
            raise RuntimeError("boom")
        self.stop()


class Notebook(Actor[list[tuple[str, str]]]):
    def initial_state(self) -> list[tuple[str, str]]:
        return []

    @handler
    def note(self, message: Note) -> None:
        self.state.append((message.label, self.turn.key))

    @handler
    def notes(self, request: Notes) -> list[tuple[str, str]]:
        return self.state


def house(door: type[Actor[Book]] = Door, **options: object) -> SupervisorSpec:
    return tree(ChildSpec(id="door", actor=door, **options), ("notes", Notebook), intensity=1000)  # type: ignore[arg-type]


async def knock(system: ActorSystem, *labels: str, then: str = "", priority: int = 0, to: str = D) -> None:
    for label in labels:
        await system.ref(to).tell(Knock(label=label, then=then), priority=priority)
    await system.idle()


async def ask(system: ActorSystem, request: Request[str], timeout_s: float = 5.0) -> asyncio.Future[str]:
    """Ask it, and let the request come as far as it does."""
    asked = asyncio.ensure_future(system.ref(D).ask(request, timeout_s=timeout_s))
    await asyncio.sleep(0)
    await system.idle()
    return asked


async def tell(system: ActorSystem, message: Message, to: str = D) -> None:
    await system.ref(to).tell(message)
    await system.idle()


async def guests(system: ActorSystem, to: str = D) -> list[str]:
    await system.idle()
    return await system.ref(to).ask(Guests())
