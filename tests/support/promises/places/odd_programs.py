"""Random programs of odd ends: they are run, and then this must hold.

Every message is handled, or a dead letter with its cause, or waits. Every actor is up, or its supervisor knows why not.
`idle()` and `stop()` return. Nobody is charged for another's doing.
"""

from __future__ import annotations

import asyncio
from typing import Any

from grounds import MemoryGround, pool, tree
from odd_actors import ATTEMPTS, Guilty, Innocent, Light, LightInnocent, Sudden
from odd_acts import SYNC_ACTS, Act, perform
from odd_calls import STRAYS, stray
from odd_checks import changed_values, handled, number_of, slipped, statuses, waiting_numbers
from odd_messages import Bad, Numbers, Question, Quit, Told, Waiting
from odd_script import Script
from odd_steps import INNOCENT, STATIC, Program, Step
from odd_ways import Ways
from patience import patience

from greenroom import (
    ActorSystem,
    AskFailed,
    ChildSpec,
    Receipt,
    RestartChild,
    StartChild,
    StartFailed,
    SupervisorSpec,
    TaskSupervisor,
    TerminateChild,
)
from greenroom.actors.kernel.cell import STOPPED, UP
from greenroom.persistence.errors import GreenroomError
from greenroom.persistence.store.rows import DeadLetterRow
from greenroom.testing import Recorder

__all__ = ("Violation", "run_program")

STRIKES_MAX = 3
"""So often a message may be struck without a charge."""


class Violation(AssertionError):
    """Something that must hold doesn't."""


def the_tree() -> SupervisorSpec:
    many: dict[str, Any] = {"intensity": 10_000}

    def child(id: str, cls: Any) -> ChildSpec:
        return ChildSpec(id=id, actor=cls, args={"id": id})

    group = SupervisorSpec(
        id="group",
        strategy="one_for_all",
        children=[child("x", Guilty), child("innocent", Innocent), child("y", Guilty)],
        **many,
    )
    return tree(
        child("a", Guilty),
        child("light", Light),
        child("innocent", Innocent),
        child("mild", LightInnocent),
        child("sudden", Sudden),
        group,
        pool(child("pool", Guilty), **many),
        pool(child("pool2", Innocent), id="pool2", **many),
        ChildSpec(id="tasks", actor=TaskSupervisor),
        **many,
    )


def key_of(address: str) -> str:
    return "pool" if address.startswith("/t/pool/") else address.rpartition("/")[2]


class Run:
    """One program on one ground."""

    def __init__(self, program: Program) -> None:
        self.steps, self.at_ends = program
        self.ground = MemoryGround()
        self.recorder = Recorder()
        self.number = 0
        self.told: dict[int, tuple[str, Step]] = {}
        """By number: the address and the step of each message."""
        self.waiting: list[asyncio.Task[Any]] = []
        self.strikes = 0
        self.refused = 0
        """The number of starts that a requester was told of."""
        self.noise: list[str] = []
        self.ways = Ways(self)

    def need(self, holds: object, what: str) -> None:
        if not holds:
            raise Violation(f"{what}\n{self.steps}\n{self.at_ends}")

    async def live(self) -> None:
        Script.reset()
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self.noise.append(context["message"]))
        up = await self.first_life()
        await self.second_life()
        if up is not None:
            self.need(up <= Script.stopped, f"without on_stop: {up - Script.stopped}")
        noise = [text for text in self.noise if "never retrieved" not in text and "closing of async" not in text]
        self.need(not noise, f"the loop complains: {noise}")

    async def first_life(self) -> set[str] | None:
        """The addresses that were up before the stop; None if the node didn't start."""
        if self.at_ends is not None and self.at_ends[1].hook in ("__init__", "on_start"):
            self.plan(self.at_ends[0], self.at_ends[1])
        try:
            async with self.ground.node(the_tree(), on_event=self.recorder) as system:
                Script.system = system
                for step in self.steps:
                    await self.step(system, step)
                    self.trouble_nobody(system)
                await self.come_to_rest(system)
                self.check(system)
                await self.check_statuses(system)
                up = {
                    cell.address
                    for cell in system.kernel.cells.values()
                    if cell.status is UP and issubclass(cell.definition.cls, Guilty | Innocent)
                }
                Script.stopped.clear()
                Script.hooks.clear()
                if self.at_ends is not None and self.at_ends[1].hook == "on_stop":
                    self.plan(self.at_ends[0], self.at_ends[1])
        except StartFailed as error:
            self.need(self.at_ends is not None and Script.failed, f"it didn't start: {error}")
            return None
        self.need(system.kernel.gave_up is None, f"the node gave up: {system.kernel.gave_up}")
        return up

    def plan(self, address: str, step: Step) -> None:
        if step.act is None or not step.hook:
            return
        act = step.act
        if address == "/t/light" and act.what.startswith("keeps "):
            act = Act("SystemExit")  # its state is never stored
        if (step.hook == "__init__" or address == "/t/sudden") and step.hook != "on_stop":
            fits = act.what in SYNC_ACTS or act.what in STRAYS["call"] or (act.is_stray and step.hook == "on_start")
            act = act if fits else Act("SystemExit")
        Script.hooks[f"{key_of(address)} {step.hook}"] += [act] * step.times

    # -- steps -----------------------------------------------------------------------------------------

    def enter(self, address: str, step: Step) -> int:
        """A number for a message that is to be found at its end."""
        self.number += 1
        self.told[self.number] = address, step
        return self.number

    def message(self, address: str, kind: type[Told], step: Step) -> Told:
        act = step.act if kind is not Quit and kind is not Bad and step.act is not None and step.times else Act("")
        return kind(number=self.enter(address, step), what=act.what, waits=act.waits, times=step.times)

    def tell(self, system: ActorSystem, address: str, kind: type[Told], step: Step) -> Receipt:
        return system.ref(address).tell(self.message(address, kind, step))

    def trouble_nobody(self, system: ActorSystem) -> None:
        for address in INNOCENT:
            self.tell(system, address, Waiting, Step("tell"))

    async def step(self, system: ActorSystem, step: Step) -> None:
        act = step.act
        match step.what:
            case "tell":
                self.tell(system, step.to, step.kind, step)
            case "ask":
                assert act is not None
                request = Question(what=act.what, waits=act.waits)
                self.later(self.ask(system, step.to, request, fails=act.fails))
            case "quit" | "bad":
                self.plan(step.to, step)
                self.tell(system, step.to, Quit if step.what == "quit" else Bad, Step(step.what, times=1))
            case "terminate":
                self.plan(step.to, step)
                parent, _, id = step.to.rpartition("/")
                self.later(self.administer(system, parent, TerminateChild(id=id), RestartChild(id=id)))
            case "start child":
                self.plan(step.to, step)
                spec = ChildSpec(id="new", actor=Guilty, args={"id": "new"})
                self.later(self.administer(system, "/t", *[StartChild(spec=spec)] * 3))
            case "task":
                self.later(self.task(system, step))
            case "rest":
                await system.idle()
            case "strike" if self.strikes < STRIKES_MAX:
                self.strikes += 1
                for _ in range(step.times):
                    await asyncio.sleep(0)
                for task in list(system._dispatcher._tasks):
                    task.cancel()
            case "call" | "receipt" | "send" | "echo" | "tell from a thread" | "ask from a thread":
                await self.ways.step(system, step)

    def later(self, coroutine: Any) -> None:
        self.waiting.append(asyncio.create_task(coroutine))

    async def ask(self, system: ActorSystem, address: str, request: Any, *, fails: bool) -> None:
        try:
            await system.ref(address).ask(request, timeout_s=3600)
        except AskFailed:
            return
        except GreenroomError as error:  # it was stopped meanwhile
            self.need("no actor" in str(error), f"an ask of {address}: {error!r}")
            return
        self.need(not fails, f"{address} answered all the same")

    async def administer(self, system: ActorSystem, address: str, *requests: Any) -> None:
        for request in requests:
            try:
                await system.ref(address).ask(request, timeout_s=3600)
            except StartFailed:
                self.refused += 1
                try:
                    await system.ref(address).ask(request, timeout_s=3600)
                except StartFailed:
                    self.refused += 1
                except GreenroomError:
                    pass
            except GreenroomError:
                pass

    async def task(self, system: ActorSystem, step: Step) -> None:
        left, act = [1], step.act
        assert act is not None

        async def work() -> str:
            if left:
                left.pop()
                await (stray(act.what, None) if act.is_stray else perform(act))
            return "done"

        tasks = system.tasks("/t/tasks")
        if step.times:
            result: Any = await tasks.start(work, restart="transient")
            self.need(result == "done", "a transient task that failed wasn't run again")
            return
        try:
            await tasks.run(work)
        except BaseException as error:
            self.need(not isinstance(error, SystemExit | GeneratorExit | asyncio.CancelledError), f"a task: {error!r}")
            # A task has no neighbours: what it leaves on its own task may be its own failure.
            self.need(act.fails or "cancelled" in str(error), f"a task failed: {error!r}")
            return
        self.need(not act.fails, f"a task that failed was done: {act}")

    async def come_to_rest(self, system: ActorSystem) -> None:
        while True:
            waiting, self.waiting = self.waiting, []
            for task in waiting:
                await task
            await self.ways.threads_end()
            await system.idle()
            if not self.waiting and not Script.threads:
                return

    # -- what must hold ----------------------------------------------------------------------------------

    def check(self, system: ActorSystem) -> None:
        self.need(system.kernel.gave_up is None, f"the node gave up: {system.kernel.gave_up}")
        found = handled(system)
        letters = {letter.uid: letter for letter in self.ground.rows(DeadLetterRow)}
        self.need(len(letters) == len(self.ground.rows(DeadLetterRow)), "two dead letters of one message")
        dead = {}
        for letter in letters.values():
            self.need(letter.error and letter.cause, f"a dead letter without its cause: {letter}")
            dead[number_of(letter.body)] = letter
        waits = waiting_numbers(self.ground, system)
        left = slipped(self.ground, system, {*found, *dead, *waits})
        self.need(not left, f"refused calls have left {left}")
        changed = changed_values(system)
        self.need(not changed, f"it came back different: {changed}")
        for number, (address, step) in self.told.items():
            places = found.count(number), number in dead, number in waits
            self.need(sum(map(int, places)) == 1, f"{number} to {address} {step}: handled, dead, waits = {places}")
            doomed = step.act is not None and step.act.fails and step.times >= ATTEMPTS
            if address in INNOCENT or (address in STATIC and not doomed):
                self.need(number not in dead, f"{number} to {address} {step} is dead: {dead.get(number)}")
            elif address in STATIC:
                self.need(number not in found, f"{number} to {address} {step} is handled, though it fails always")
        self.need(not waits or any(step.what == "terminate" for step in self.steps), f"they wait: {waits}")
        failed = Script.failed
        told_of = len(self.recorder.of("actor.start_failed")) + self.refused
        self.need(
            failed["__init__"] + failed["on_start"] <= told_of + (self.at_ends is not None),
            f"{failed} starts have failed, {told_of} were reported",
        )
        self.need(
            failed["on_stop"] <= len(self.recorder.of("actor.stop_failed")) + self.strikes, f"{failed} unreported"
        )

    async def check_statuses(self, system: ActorSystem) -> None:
        for wrong, child in await statuses(system):
            # OTP: if a group's restart was called off by administration, the rest of the group stays stopped.
            parent = child.rpartition("/")[0]
            near = {child} if parent == "/t" else {one for one in STATIC if one.startswith(parent)}
            terminated = child in STATIC and any(step.to in near and step.what == "terminate" for step in self.steps)
            self.need(terminated, wrong)

    async def second_life(self) -> None:
        """Everything that had waited is handled."""
        Script.hooks.clear()
        Script.bombs.clear()
        stopped = set(Script.stopped)
        async with self.ground.node(the_tree(), on_event=self.recorder) as system:
            await system.idle()
            changed = changed_values(system)
            self.need(not changed, f"it came back different after a restart: {changed}")
            for address in [*STATIC, *INNOCENT]:
                if system.kernel.cells.get(address) is None or system.kernel.cells[address].status is STOPPED:
                    continue
                await system.ref(address).ask(Numbers())
            self.need(system.kernel.gave_up is None, "the second life gave up")
        Script.stopped = stopped


def run_program(program: Program) -> None:
    """
    Raises:
        Violation: something doesn't hold. Hung: something doesn't come to its end.
    """

    run = Run(program)

    async def alive() -> None:
        async with patience():
            await run.live()

    runner = asyncio.Runner()
    loop = runner.get_loop()
    task = loop.create_task(alive())
    task.add_done_callback(lambda _: loop.stop())
    try:
        while not task.done():
            loop.run_forever()
            while run.ways.pauses:
                run.ways.pauses.pop()()
            run.need(not Script.wrong, str(Script.wrong))
        task.result()
    except (SystemExit, GeneratorExit, asyncio.CancelledError) as error:
        raise Violation(f"{error!r} has ended the program\n{program}") from error
    except GreenroomError as error:
        raise Violation(f"the node: {error!r}\n{program}") from error
    finally:
        # A node that let a wrong call in may never come to its end.
        (loop if Script.wrong else runner).close()
