"""Memory: what an idle actor costs, and one that isn't there any more."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

from floors import BODY
from ours import Add, Counter, silent

from greenroom import ActorSystem, ChildSpec, SupervisorSpec, start

ROUND = 1_000
"""Tells between two waits for idleness: what is on its way isn't what is measured."""


class Member(Counter):
    idle_timeout_s = 3_600.0


def tree(max_children: int = 1_000_000) -> SupervisorSpec:
    template = ChildSpec(id="member", actor=Member)
    return SupervisorSpec(id="pool", strategy="dynamic", template=template, max_children=max_children)


def resident() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise LookupError("VmRSS")


async def _tell(system: ActorSystem, first: int, last: int) -> None:
    for begin in range(first, last, ROUND):
        for number in range(begin, min(begin + ROUND, last)):
            system.ref(f"/pool/member-{number}").tell(Add(number=number, body=BODY))
        await system.idle()


def _passivate(system: ActorSystem) -> None:
    activation: Any = system.kernel.activator.activation  # type: ignore[attr-defined]
    for cell in list(system.kernel.cells.values()):
        if cell.on_demand:
            activation._passivate(cell)


async def idle_actors(folder: Path, actors: int) -> dict[str, float]:
    """Bytes for each idle active durable actor that has handled a message, all of it committed; and for each that has
    left memory again."""
    async with start(tree(), store=f"sqlite:///{folder}/idle.db", on_event=silent) as system:
        await _tell(system, actors, actors + ROUND)  # what is made once, and what the allocator keeps at hand
        before = resident()
        await _tell(system, 0, actors)
        after = resident()
        tracemalloc.start()
        traced = tracemalloc.get_traced_memory()[0]
        await _tell(system, 2 * actors, 2 * actors + actors // 4)
        gc.collect()
        traced = tracemalloc.get_traced_memory()[0] - traced
        tracemalloc.stop()
        _passivate(system)
        gc.collect()
        left = len(system.kernel.cells) - 1
        assert left == 0, f"{left} actors are still there"
        return {
            "active B": (after - before) / actors,
            "active B (tracemalloc)": traced / (actors // 4),
        }


async def passivated(folder: Path, actors: int) -> dict[str, float]:
    """Bytes for each actor that came and left again, after as many had done so before: what they leave behind."""
    async with start(tree(), store=f"sqlite:///{folder}/gone.db", on_event=silent) as system:
        tracemalloc.start()

        async def some(first: int, last: int) -> int:
            for begin in range(first, last, ROUND):
                await _tell(system, begin, min(begin + ROUND, last))
                _passivate(system)
            assert len(system.kernel.cells) == 1
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        before = await some(0, actors)
        after = await some(actors, 2 * actors)
        tracemalloc.stop()
        return {"passivated B": (after - before) / actors}


async def ever_existed(folder: Path, actors: int, active: int) -> dict[str, float]:
    """MB of a node in which so many actors have existed and so many are active, and how much more than one in which
    only those have."""
    async with start(tree(), store=f"sqlite:///{folder}/ever.db", on_event=silent) as system:
        await _tell(system, 0, active)
        few = resident()
        for begin in range(active, actors, ROUND):
            _passivate(system)
            await _tell(system, begin, min(begin + ROUND, actors))
        _passivate(system)
        await _tell(system, 0, active)
        many = resident()
    async with start(tree(), store=f"sqlite:///{folder}/ever.db", on_event=silent) as system:
        await _tell(system, 0, active)
        return {"few MB": few / 2**20, "many MB": many / 2**20, "next life MB": resident() / 2**20}


def in_process(what: str, actors: int, active: int = 0) -> dict[str, float]:
    """One of the above in a process of its own: `idle_actors`, `passivated`, `ever_existed`."""
    command = [sys.executable, __file__, "--what", what, "--actors", str(actors), "--active", str(active)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, cwd=Path(__file__).parent)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--what", default="all", help="all, idle_actors, passivated or ever_existed")
    parser.add_argument("--actors", type=int, default=0, help="default: 20,000; 100,000 for ever_existed")
    parser.add_argument("--active", type=int, default=0, help="default: 1 in 100")
    options = parser.parse_args()
    if options.what == "all":
        for what, actors in (("idle_actors", 20_000), ("passivated", 20_000), ("ever_existed", 100_000)):
            found = in_process(what, options.actors or actors, options.active)
            print(what, "  ".join(f"{key} {value:,.1f}" for key, value in found.items()), flush=True)
        return
    with tempfile.TemporaryDirectory() as name:
        folder, actors = Path(name), options.actors or 20_000
        if options.what == "idle_actors":
            found = asyncio.run(idle_actors(folder, actors))
        elif options.what == "passivated":
            found = asyncio.run(passivated(folder, actors))
        else:
            found = asyncio.run(ever_existed(folder, actors, options.active or actors // 100))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
