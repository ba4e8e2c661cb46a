"""`greenroom run` on uvloop, and a node on uvloop's loop (`make uvloop` runs many more tests on it)."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from processes import environment
from programs import Place

from greenroom import Actor, ChildSpec, Message, Request, SupervisorSpec, WrongThread, handler, start

uvloop = pytest.importorskip("uvloop")

CONFIG = """
[supervisor]
id = "app"

[[supervisor.children]]
id = "teller"
actor = "which:Teller"
"""
MODULE = """
import asyncio
import sys

from greenroom import Actor


class Teller(Actor):
    async def on_start(self):
        print("on", type(asyncio.get_running_loop()).__module__, flush=True)
"""


class Add(Message):
    amount: int


class Total(Request[int]):
    pass


class Counter(Actor[list[int]]):
    @handler
    async def add(self, message: Add) -> None:
        await asyncio.sleep(0)
        self.state.append(message.amount)

    @handler
    def total(self, request: Total) -> int:
        return sum(self.state)


@pytest.fixture
def teller(place: Place) -> Place:
    (place.folder / "greenroom.toml").write_text(CONFIG)
    (place.folder / "which.py").write_text(MODULE)
    return place


@pytest.mark.parametrize("name", ["asyncio", "uvloop"])
def test_the_loop_that_a_node_runs_on(teller: Place, name: str) -> None:
    done = teller.shell("run", "--until-idle", "--loop", name)
    assert f"on {name}" in done.stdout


def test_a_loop_that_there_is_none_of(teller: Place) -> None:
    done = teller.shell("run", "--loop", "trio", code=2)
    assert 'found "trio", expected "asyncio" or "uvloop"' in done.stderr


def test_uvloop_that_is_not_installed(teller: Place) -> None:
    missing = teller.folder / "missing"
    missing.mkdir()
    (missing / "uvloop.py").write_text("raise ImportError('no uvloop here')")
    (teller.folder / "greenroom.toml").write_text('node.loop = "uvloop"\n' + CONFIG)
    path = os.pathsep.join([str(missing), environment()["PYTHONPATH"]])
    done = teller.shell("run", code=1, PYTHONPATH=path)
    what = "node.loop = \"uvloop\" takes uvloop, which isn't installed. Run: pip install 'greenroom[uvloop]'"
    assert what in " ".join(done.stderr.split())


@pytest.mark.parametrize("lives", [1, 2])
def test_a_node_on_uvloop(tmp_path: Path, lives: int) -> None:
    tree = SupervisorSpec(id="t", children=[ChildSpec(id="counter", actor=Counter)])

    async def live() -> int:
        async with start(tree, store=f"sqlite:///{tmp_path}/x.db") as system:
            counter = system.ref("/t/counter")
            await asyncio.gather(*(counter.tell(Add(amount=1)) for _ in range(100)))
            strangers: list[BaseException] = []

            def from_a_thread() -> None:
                counter.from_thread.tell(Add(amount=5))
                try:
                    counter.tell(Add(amount=1))
                except WrongThread as error:
                    strangers.append(error)

            await asyncio.to_thread(from_a_thread)
            assert [error.where for error in strangers] == ["thread"]
            return await counter.ask(Total())

    for life in range(lives):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            assert runner.run(live()) == 105 * (life + 1)
