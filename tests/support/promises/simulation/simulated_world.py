"""The work of the simulation in one seed: some of the parts at once, in one node."""

from __future__ import annotations

import asyncio
import random

from simulated_actors import World
from simulated_lives import Children, Mourning, Sql, Stashes, Timers, Zombies
from simulated_parts import PATIENT, Bank, Order, Part, Programs

from greenroom import SupervisorSpec
from greenroom.persistence.store.rows import AttemptRow, DeadLetterRow, MessageRow
from greenroom.testing import Run

PARTS: tuple[type[Part], ...] = (Programs, Bank, Order, Zombies, Mourning, Timers, Stashes, Children, Sql)


class Seed:
    """Tree, workload and invariant of one seed."""

    def __init__(self, seed: int, kinds: tuple[type[Part], ...] = (), *, refuses: bool = False) -> None:
        self.refuses = refuses
        draw = random.Random(f"parts {seed}")
        self.kinds = kinds or tuple(kind for kind in PARTS if draw.random() < kind.share) or (Programs,)
        self.seed = seed
        self.tree = SupervisorSpec(
            id="t", children=[spec for part in self.made() for spec in part.children()], **PATIENT
        )

    def made(self) -> list[Part]:
        draw = random.Random(f"kinds {self.seed}")
        return [kind(draw) for kind in self.kinds]

    def parts(self, run: Run) -> list[Part]:
        """They remember what was acknowledged, as the outside does."""
        if not hasattr(run.notes, "parts"):
            run.notes.parts = self.made()
            for part in run.notes.parts:
                part.refuses = self.refuses
            World.keys, World.ticks, World.attempts, World.unsteady = {}, {}, {}, set()
        World.run = run
        parts: list[Part] = run.notes.parts
        return parts

    async def workload(self, run: Run) -> None:
        works = [part.work(run) for part in self.parts(run)]
        errors = [error for error in await asyncio.gather(*works, return_exceptions=True) if error is not None]
        for error in sorted(errors, key=lambda error: not isinstance(error, AssertionError)):
            raise error

    async def invariant(self, run: Run) -> None:
        letters = run.rows(DeadLetterRow)
        for part in self.parts(run):
            addresses = tuple(f"/t/{child.id}/" for child in part.children())
            part.dead([row for row in letters if f"{row.address}/".startswith(addresses)])
            await part.check(run)
        await run.system.idle()
        waiting = [(row.id, row.address, row.type) for row in run.rows(MessageRow)]
        assert not waiting, f"left in the mailboxes: {waiting}"
        assert not run.rows(AttemptRow), "attempts of nothing"
