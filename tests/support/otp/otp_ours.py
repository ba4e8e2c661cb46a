"""Ours: runs a scenario on our supervisors, and says what happened in the words of otp_driver.erl."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from grounds import MemoryGround
from otp_scenario import Scenario, named

from greenroom import (
    Actor,
    ActorNotFound,
    ActorSystem,
    AlreadyPresent,
    AlreadyStarted,
    AskFailed,
    ChildNotFound,
    ChildSpec,
    CountChildren,
    DeleteChild,
    ExitReason,
    GreenroomError,
    Ignore,
    NotForDynamic,
    Request,
    RestartChild,
    Restarting,
    Running,
    StartChild,
    StartFailed,
    SupervisorSpec,
    TerminateChild,
    TreeGaveUp,
    WhichChildren,
    handler,
)
from greenroom.actors.kernel.cell import STARTING, UP
from greenroom.persistence.runtime import Runtime

__all__ = ("run",)

PATIENCE_S = 60.0
"""Of real time; a scenario that hangs has failed."""
ERRORS: dict[type[Exception], str] = {
    AlreadyStarted: "already_started",
    AlreadyPresent: "already_present",
    Running: "running",
    Restarting: "restarting",
    ChildNotFound: "not_found",
    NotForDynamic: "refused",
    StartFailed: "failed",
    ActorNotFound: "noproc",
    AskFailed: "noproc",
}


class End(Request[None]):
    how: str


class Tie(Request[None]):
    to: str


class Aged(Runtime):
    """Real time, but for what passes at once."""

    passed_s = 0.0

    def monotonic(self) -> float:  # type: ignore[override]
        return Runtime.monotonic() + self.passed_s


class World:
    """What the workers are to do, and what they did."""

    def __init__(self, scenario: Scenario) -> None:
        self.plans = {id: list(plan) for id, plan in scenario.plans}
        self.trace: list[str] = []
        self.held = ""
        """The worker whose starts wait."""
        self.holding: asyncio.Future[None] | None = None
        """Pending while such a start waits."""

    async def starting(self, id: str) -> None:
        if self.held == id:
            self.holding = asyncio.get_running_loop().create_future()
            await self.holding
        plan = self.plans.get(id)
        match plan.pop(0) if plan else "ok":
            case "fail":
                self.trace.append(f"!{id}")
                raise RuntimeError("planned")
            case "ignore":
                self.trace.append(f"?{id}")
                raise Ignore
        self.trace.append(f"+{id}")


class Obedient(Actor[None]):
    world: World
    max_attempts = 1
    handler_timeout_s = None

    @property
    def id(self) -> str:
        return self.address.rpartition("/")[2]

    async def on_start(self) -> None:
        await self.world.starting(self.id)

    async def on_stop(self, reason: ExitReason) -> None:
        self.world.trace.append(f"-{self.id} {reason.kind}")

    @handler
    def end(self, request: End) -> None:
        match request.how:
            case "normal":
                self.stop()
            case "shutdown":
                self.stop(ExitReason.shutdown())
            case "info":
                self.stop(ExitReason.shutdown("info"))
            case "kill":
                self.stop(ExitReason.killed())
            case _:
                raise RuntimeError("boom")

    @handler
    def tie(self, request: Tie) -> None:
        self.link(self.system.ref(request.to))


# -- specs ----------------------------------------------------------------------------------------------


def spec_of(node: Any) -> Any:
    if node[0] == "worker":
        _, id, restart, significant, shutdown = node
        return ChildSpec(id=id, actor=Obedient, restart=restart, significant=significant, shutdown=_shutdown(shutdown))
    kind, id, strategy, intensity, period, auto, restart, significant, shutdown, children = node
    return SupervisorSpec(
        id=id,
        strategy="dynamic" if kind == "dyn" else strategy,
        intensity=intensity,
        period_s=float(period),
        auto_shutdown="never" if kind == "dyn" else auto,
        restart=restart,
        significant=significant,
        shutdown=_shutdown(shutdown),
        children=[spec_of(child) for child in children],
        strict=True,
    )


def _shutdown(value: Any) -> Any:
    return value / 1000 if isinstance(value, int) else value


# -- running it -----------------------------------------------------------------------------------------


async def run(scenario: Scenario) -> list[Any]:
    """[result, trace, state] of the start, of each action and of the stop."""
    async with asyncio.timeout(PATIENCE_S):
        return await _Run(scenario).all()


class _Run:
    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.world = Obedient.world = World(scenario)
        self.runtime = Aged()
        self.where = named(scenario)
        self.log: list[Any] = []
        self.system: ActorSystem = None  # type: ignore[assignment]  # until the node is up
        self.said = False
        """Whether the end of the root has been said."""

    async def all(self) -> list[Any]:
        actions = self.scenario.actions
        try:
            async with MemoryGround().node(spec_of(self.scenario.tree), runtime=self.runtime, on_event=_deaf) as system:
                self.system = system
                await self.entry("ok")
                for action in actions:
                    await self.entry(await self.act(action))
        except StartFailed:
            if self.system is not None:
                raise
            self.log = [["failed", self.took(), ["dead"]]]
            self.log += [["ok" if action[0] in ("age", "plan") else "noproc", [], ["dead"]] for action in actions]
        self.log.append(["ok", self.took(), ["dead", "shutdown"]])
        return self.log

    def took(self) -> list[str]:
        trace, self.world.trace = self.world.trace, []
        return trace

    async def entry(self, result: Any) -> None:
        await self.quiet()
        trace = self.took()
        self.log.append([result, trace, await self.state("root")])

    async def quiet(self) -> None:
        try:
            await self.system.idle()
        except GreenroomError:
            pass  # the root has ended

    # -- actions -------------------------------------------------------------------------------------------

    async def act(self, action: tuple[Any, ...]) -> Any:
        match action:
            case ("crash", id, how):
                return await self.crash(id, how)
            case ("age", seconds):
                self.runtime.passed_s += seconds
                return "ok"
            case ("plan", id, plan):
                self.world.plans[id] = list(plan)
                return "ok"
            case ("link", one, other):
                if self.up(one) is None or self.up(other) is None:
                    return "noproc"
                return await self.answer(self.system.ref(self.where[one]).ask(Tie(to=self.where[other]))) or "ok"
            case ("during", id, how, others, tries):
                return await self.during(id, how, others, tries)
        return await self.request(action)

    def up(self, id: str, *status: str) -> Any:
        """The cell of an actor that is up, or has another one of these."""
        kernel = self.system.kernel
        cell = kernel.cells.get(self.where.get(id, ""))
        return cell if cell is not None and cell.status in (status or (UP,)) and kernel.gave_up is None else None

    async def crash(self, id: str, how: str) -> str:
        cell = self.up(id)
        if cell is None:
            return "noproc"
        life = cell.incarnation
        try:
            await self.system.ref(cell.address).ask(End(how=how))
        except GreenroomError:
            pass
        while cell.incarnation is life:
            await asyncio.sleep(0)
        return "ok"

    async def during(self, id: str, how: str, others: Any, tries: Any) -> list[Any]:
        world = self.world
        world.held = id
        results: list[Any] = [await self.crash(id, how)]
        for number, requests in enumerate(tries):
            held = await self.holding()
            if held is None:
                world.held = ""
            results += [await self.crash(*other) for other in others]
            others = []
            if held is None:
                await self.quiet()
                for request in requests:
                    results.append(await self.request(request))
                    await self.quiet()
                continue
            sent = [await self.send(request) for request in requests]
            if number == len(tries) - 1:
                world.held = ""
            held.set_result(None)
            results += sent
        world.held = ""
        results += [await self.crash(*other) for other in others]
        return [await one if isinstance(one, asyncio.Future) else one for one in results]

    async def holding(self) -> asyncio.Future[None] | None:
        """Wait until a start is held, or until nothing happens any more."""
        self.world.holding = None if self.world.holding is None or self.world.holding.done() else self.world.holding
        idle = asyncio.ensure_future(self.quiet())
        while (held := self.world.holding) is None or held.done():
            if idle.done():
                return None
            await asyncio.sleep(0)
        idle.cancel()
        return held

    async def send(self, request: tuple[Any, ...]) -> asyncio.Future[Any]:
        """Ask, so that the request waits in the supervisor's mailbox."""
        cell = self.system.kernel.cells.get(self.where[request[1]])
        before = 0 if cell is None else cell.mailbox.count
        sent = asyncio.ensure_future(self.request(request))
        while not sent.done() and cell is not None and cell.mailbox.count == before:
            await asyncio.sleep(0)
        return sent

    async def request(self, request: tuple[Any, ...]) -> Any:
        kind, above, what = request
        if self.up(above, UP, STARTING) is None:
            return "noproc"
        ref = self.system.ref(self.where[above])
        match kind:
            case "which":
                found = await self.answer(ref.ask(WhichChildren()))
                return found if isinstance(found, str) else [[child.id, child.status] for child in found]
            case "start":
                started = await self.answer(ref.ask(StartChild(spec=spec_of(what))))
                return "ignored" if started is None else "ok" if started.startswith("/") else started
            case "terminate":
                return await self.answer(ref.ask(TerminateChild(id=what))) or "ok"
            case "restart":
                started = await self.answer(ref.ask(RestartChild(id=what)))
                return "ignored" if started is None else "ok" if started.startswith("/") else started
            case _:
                return await self.answer(ref.ask(DeleteChild(id=what))) or "ok"

    async def answer(self, asked: Awaitable[Any]) -> Any:
        try:
            return await asked
        except GreenroomError as error:
            return ERRORS.get(type(error), "noproc" if self.system.kernel.gave_up else repr(error))

    # -- what there is ---------------------------------------------------------------------------------------

    async def state(self, id: str) -> list[Any]:
        gave_up = self.system.kernel.gave_up
        if isinstance(gave_up, TreeGaveUp):
            said, self.said = self.said, True
            return ["dead"] if said else ["dead", gave_up.reason.kind]
        if gave_up is not None:
            return ["dead", repr(gave_up)]
        ref = self.system.ref(self.where[id])
        counts = await ref.ask(CountChildren())
        below: list[Any] = []
        for child in await ref.ask(WhichChildren()):
            if child.kind == "supervisor" and child.status == "running":
                below.append([child.id, "running", await self.state(child.id)])
            else:
                below.append([child.id, child.status])
        return [id, [counts.specs, counts.active, counts.supervisors, counts.workers], below]


def _deaf(event: object) -> None:
    """Nothing is logged."""
