"""More kinds of work for the simulation: what lives, ends and comes due."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from typing import Any

from grounds import as_spec, pool
from simulated_actors import (
    Account,
    Clerk,
    Door,
    End,
    Insert,
    Knock,
    Latch,
    Plan,
    Slow,
    Target,
    Ticker,
    Watch,
    Watcher,
    Zombie,
)
from simulated_parts import PATIENT, Part, states

from greenroom import AlreadyPresent, AlreadyStarted, ChildSpec, StartChild, SupervisorSpec, WhichChildren
from greenroom.persistence.store.rows import DeadLetterRow, MonitorRow, TimerRow
from greenroom.testing import Run


class Zombies(Part):
    share = 0.2

    def children(self) -> list[Any]:
        return [as_spec(("z", Zombie))]

    async def work(self, run: Run) -> None:
        for id in range(4):
            await self.tell(run, "/t/z", id, Slow(id=id, swallows=self.draw.random() < 0.5))

    async def check(self, run: Run) -> None:
        await run.sleep(10.0)  # until the last zombie has come to its end
        self.once([id for state in states(run, "/t/z").values() for id in state["told"]])


class Mourning(Part):
    watchers = ("/t/w", "/t/watchers/x")
    targets = ("/t/m", "/t/light", "/t/mortals/pool/x")

    def __init__(self, draw: random.Random) -> None:
        super().__init__(draw)
        self.left = draw.randint(4, 20)
        self.ids = iter(range(1, 10**6))

    def children(self) -> list[Any]:
        return [
            as_spec(("w", Watcher)),
            pool(as_spec(("watcher", Watcher), idle_timeout_s=0.05), id="watchers", **PATIENT),
            as_spec(("m", Target)),
            as_spec(("light", Target), durable=False),
            SupervisorSpec(id="mortals", children=[pool(as_spec(("target", Target)), id="pool", **PATIENT)], **PATIENT),
        ]

    async def work(self, run: Run) -> None:
        while self.left > 0:
            self.left -= 1
            target = self.draw.choice(self.targets)
            if self.draw.random() < 0.6:
                await self.tell(run, self.draw.choice(self.watchers), next(self.ids), Watch(target=target))
            else:
                how = self.draw.choice(("error", "normal", "slow", "retire"))
                await self.tell(run, target, next(self.ids), End(how=how))

    async def check(self, run: Run) -> None:
        await run.system.idle()
        for address in self.targets:
            await run.system.ref(address).tell(End(how="normal"))
        await run.system.idle()
        for address, state in (states(run, "/t/w") | states(run, "/t/watchers/")).items():
            counts = Counter(state["heard"])
            assert all(count == 1 for count in counts.values()), f"{address} was told twice: {counts}"
            lost = set(state["set"]) - set(counts)
            assert not lost, f"{address} has lost Downs: {lost}"
            assert set(counts) <= set(state["set"]), f"{address} was told of what it doesn't monitor"
        assert not run.rows(MonitorRow)

    def dead(self, letters: list[DeadLetterRow]) -> None:
        for row in letters:
            assert '"error"' in row.body or row.cause == "crash", f"dead: {row.address} {row.body} {row.cause}"


class Timers(Part):
    share = 0.3

    def __init__(self, draw: random.Random) -> None:
        super().__init__(draw)
        self.plans = [
            Plan(id=id, after_s=draw.choice((0.0, 0.001, 2.0)))
            if draw.random() < 0.5
            else Plan(id=id, every_s=draw.choice((0.01, 1.0)), ticks=draw.randint(1, 4))
            for id in range(draw.randint(1, 5))
        ]
        if draw.random() < 0.25:
            self.plans.append(Plan(id=99, after_s=0.0, how="kill"))

    def children(self) -> list[Any]:
        return [as_spec(("timers", Ticker))]

    async def work(self, run: Run) -> None:
        for plan in self.plans:
            await self.tell(run, "/t/timers", plan.id, plan)

    async def check(self, run: Run) -> None:
        await run.sleep(10.0)
        await run.system.idle()
        state = states(run, "/t/timers").get("/t/timers", {"planned": [], "ticks": {}})
        self.once(state["planned"])
        for plan in self.plans:
            ticks = state["ticks"].get(str(plan.id), [])
            assert len(set(ticks)) == len(ticks), f"a tick of {plan.id} twice"
            if plan.id in state["planned"] and not (plan.how or self.refuses):
                assert len(ticks) >= plan.ticks, f"{plan.id} has ticked {len(ticks)} times, not {plan.ticks}"
                assert plan.every_s or len(ticks) == 1, f"{plan.id} has ticked {len(ticks)} times"
        assert not run.rows(TimerRow)

    def dead(self, letters: list[DeadLetterRow]) -> None:
        refused = sum("constraint" in row.text for row in letters)  # a refused tick is a dead letter
        assert all('"kill"' in row.body or "constraint" in row.text for row in letters), letters
        assert len(letters) - refused <= 1


class Stashes(Part):
    share = 0.3

    def __init__(self, draw: random.Random) -> None:
        super().__init__(draw)
        self.messages: list[Knock | Latch] = []
        for id in range(draw.randint(2, 12)):
            knock = Knock(id=id, echo=draw.random() < 0.3)
            self.messages.append(knock if draw.random() < 0.7 else Latch(open=draw.random() < 0.5))

    def children(self) -> list[Any]:
        return [as_spec(("door", Door))]

    async def work(self, run: Run) -> None:
        for place, message in enumerate(self.messages):
            await self.tell(run, "/t/door", place, message)

    async def check(self, run: Run) -> None:
        await run.system.ref("/t/door").tell(Latch(open=True))
        await run.system.idle()
        state = states(run, "/t/door")["/t/door"]
        self.sure = {id for id in self.sure if isinstance(self.messages[id], Knock)}
        self.once(state["guests"])


class Children(Part):
    """Those that come by `StartChild` are there in every life after it."""

    share = 0.3

    def children(self) -> list[Any]:
        return [SupervisorSpec(id="born", strategy="dynamic", intensity=10**6)]

    async def work(self, run: Run) -> None:
        for id in range(3):
            if id in self.sure:
                continue
            spec = ChildSpec(id=str(id), actor=Account)
            try:
                await run.system.ref("/t/born").ask(StartChild(spec=spec), timeout_s=1e6)
            except (AlreadyStarted, AlreadyPresent):
                pass
            except Exception as error:
                if isinstance(error, AssertionError):
                    raise
                await run.sleep(0.1)
                continue
            self.tried.add(id)
            self.sure.add(id)

    async def check(self, run: Run) -> None:
        found = await run.system.ref("/t/born").ask(WhichChildren())
        assert {str(id) for id in self.sure} <= {child.id for child in found if child.status == "running"}, found


class Sql(Part):
    share = 0.05

    def children(self) -> list[Any]:
        return [as_spec(("clerk", Clerk))]

    async def work(self, run: Run) -> None:
        for id in range(5):
            await self.tell(run, "/t/clerk", id, Insert(id=id, how=self.draw.choice(("", "fail"))))

    async def check(self, run: Run) -> None:
        found = states(run, "/t/clerk").get("/t/clerk", {"told": []})["told"]
        self.once(found)
        entries: list[int] = []
        if run.data.sql:
            connection = sqlite3.connect(":memory:")
            connection.deserialize(run.data.sql)
            entries = [id for (id,) in connection.execute("SELECT id FROM entry ORDER BY rowid")]
            connection.close()
        assert entries == found, f"the table has {entries}, the state {found}"
