"""Calls from the wrong thread, loop or process are refused before anything is touched, by an error with the remedy."""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from door_actors import DOORS, INSIDE, TREE, Front, Go, Inside, Ping, first_step
from grounds import Ground, MemoryGround, SqliteGround
from patience import patient

from greenroom import ActorSystem, Client, StoreUnavailable, WrongThread, start
from greenroom.persistence.errors import NoEventLoop
from greenroom.persistence.store.commit import Commit
from greenroom.persistence.store.rows import ROWS, ActorRow, ChildRow


@pytest.fixture(autouse=True)
def fresh() -> None:
    Front.handled = []
    Front.raised = []


def rows(ground: Ground) -> dict[str, list[Any]]:
    """What is on disk, but for the rows that every start of an actor writes."""
    return {kind.__name__: found for kind in ROWS if kind not in (ActorRow, ChildRow) if (found := ground.rows(kind))}


async def caught(call: Callable[[], Any]) -> BaseException | None:
    """What a call raises in a thread of its own."""

    def run() -> BaseException | None:
        try:
            call()
        except BaseException as error:
            return error
        return None

    return await asyncio.get_running_loop().run_in_executor(None, run)


async def unharmed(ground: Ground, system: ActorSystem) -> None:
    """Nothing was written, nothing is wedged, everybody answers."""
    await patient(system.idle())
    assert rows(ground) == {}
    for address in ("/t/front", "/t/other", "/t/light"):
        assert await patient(system.ref(address).ask(Ping())) == "pong"
    await patient(system.ref("/t/other").tell(Go()))
    await patient(system.idle())
    assert Front.handled == ["/t/other"]


def driven_by_none(coroutine: Any) -> BaseException | None:
    """The error of a coroutine that no loop of asyncio runs. trio drives a coroutine in this way."""
    try:
        coroutine.send(None)
    except BaseException as error:
        return error
    finally:
        coroutine.close()
    return None


def test_without_a_loop_of_asyncio(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/node.db"
    for name, entered in (("start()", start(TREE, store=url)), ("Client", Client(url))):
        error = driven_by_none(entered.__aenter__())
        assert isinstance(error, NoEventLoop)
        assert isinstance(error, RuntimeError)
        assert str(error).startswith(f"{name} needs a running event loop of asyncio")
        assert 'backend="asyncio"' in str(error)
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("door", DOORS)
async def test_from_a_thread(ground: Ground, door: str) -> None:
    async with ground.node(TREE) as system:
        error = await caught(lambda: first_step(DOORS[door](system)))
        assert isinstance(error, WrongThread)
        assert error.where == "thread"
        assert "ref.from_thread.tell(...)" in str(error)
        assert "/t/rooms/one" not in system.kernel.cells
        await unharmed(ground, system)


@pytest.mark.parametrize("door", DOORS)
async def test_from_a_second_loop(ground: Ground, door: str) -> None:
    async with ground.node(TREE) as system:

        async def elsewhere() -> None:
            found = DOORS[door](system)
            if hasattr(found, "__anext__"):
                await anext(found)
            elif hasattr(found, "__aenter__"):
                await found.__aenter__()
            elif hasattr(found, "__await__"):
                await found

        error = await caught(lambda: asyncio.run(elsewhere()))
        assert isinstance(error, WrongThread)
        assert error.where == "loop"
        await unharmed(ground, system)


@pytest.mark.parametrize("door", INSIDE)
async def test_from_a_thread_of_a_handler(ground: Ground, door: str) -> None:
    """The thread inherits the turn, by its context; the turn goes on unharmed."""
    async with ground.node(TREE) as system:
        await patient(system.ref("/t/front").tell(Inside(door=door)))
        await patient(system.idle())
        assert [type(error) for error in Front.raised] == [WrongThread]
        await unharmed(ground, system)


async def test_the_rest_of_what_a_node_hands_out(ground: Ground) -> None:
    """A receipt, and a task, that travel to another loop."""
    async with ground.node(TREE) as system:
        ground.plan.hold()
        receipt = system.ref("/t/front").tell(Go())
        await ground.plan.arrived()
        halt = asyncio.Event()
        task = system.tasks("/t/tasks").start(halt.wait)

        async def awaits(found: Any) -> None:
            await found

        for found in (receipt, task):
            error = await caught(lambda found=found: asyncio.run(awaits(found)))  # type: ignore[misc]
            assert isinstance(error, WrongThread)
        assert isinstance(await caught(task.cancel), WrongThread)
        assert not task.done
        ground.plan.release()
        await patient(receipt)
        halt.set()
        await patient(task)


async def test_a_coroutine_that_a_thread_hands_to_the_loop_is_welcome(memory: MemoryGround) -> None:
    """The door is where the coroutine runs, and not where it was made."""
    async with memory.node(TREE) as system:
        loop = asyncio.get_running_loop()

        def endpoint() -> str:
            return asyncio.run_coroutine_threadsafe(system.ref("/t/rooms/one").ask(Ping()), loop).result(60)

        assert await loop.run_in_executor(None, endpoint) == "pong"


@pytest.mark.parametrize("door", DOORS)
def test_while_no_loop_runs(memory: MemoryGround, door: str) -> None:
    with asyncio.Runner() as runner:
        block = memory.node(TREE)
        system = runner.run(block.__aenter__())
        with pytest.raises(WrongThread) as refused:
            first_step(DOORS[door](system))
        assert refused.value.where == "stopped"
        runner.run(unharmed(memory, system))
        runner.run(block.__aexit__(None, None, None))


def test_on_a_loop_after_another_in_one_thread(memory: MemoryGround) -> None:
    """As tests do that start a node in a fixture with a loop of its own. Nothing hangs, not even the end."""
    with asyncio.Runner() as first, asyncio.Runner() as second:
        block = memory.node(TREE)
        system = first.run(block.__aenter__())

        async def tell() -> None:
            await system.ref("/t/front").tell(Go())

        for call in (tell, system.idle, lambda: system.ref("/t/front").ask(Ping())):
            with pytest.raises(WrongThread, match="another event loop than the one on which"):
                second.run(patient(call()))
        first.run(unharmed(memory, system))
        first.run(block.__aexit__(None, None, None))


async def test_a_client_elsewhere(disk: SqliteGround) -> None:
    async with disk.node(TREE) as system, Client(disk.url) as client:
        for call in (
            lambda: client.tell("/t/front", Go()),
            lambda: client.ask("/t/front", Ping()),
            lambda: client.__aexit__(None, None, None),
        ):
            error = await caught(lambda call=call: asyncio.run(call()))  # type: ignore[misc]
            assert isinstance(error, WrongThread)
        await unharmed(disk, system)


# -- a forked child ------------------------------------------------------------------------------------------


def forked(child: Callable[[], bool]) -> bool:
    """Whether a function returns True in a forked child."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            status = 0 if child() else 1
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1] == 0


def refuses(call: Callable[[], Any]) -> bool:
    try:
        first_step(call())
    except WrongThread as error:
        return error.where == "process" and "Client" in str(error)
    return False


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("door", DOORS)
async def test_in_a_forked_child(disk: SqliteGround, door: str) -> None:
    async with disk.node(TREE) as system:
        assert forked(lambda: refuses(lambda: DOORS[door](system)))
        assert forked(lambda: refuses(lambda: system.ref("/t/front").from_thread.tell(Go())))
        await unharmed(disk, system)


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
async def test_a_forked_child_that_goes_on_writes_nothing(disk: SqliteGround) -> None:
    """It goes on in the copy of the loop, where something waits for its commit."""
    block = disk.node(TREE)
    system = await block.__aenter__()
    before = disk.rows(ActorRow)
    queued = system.ref("/t/front").tell(Go())  # not committed at the fork
    pid = os.fork()
    if not pid:
        status = 1
        try:
            commits = system.kernel.commits
            committed = system.kernel.committer.commit_here()
            try:
                system.kernel.store.commit_now(Commit(1_000))
            except StoreUnavailable:
                status = 0 if not committed and commits.failure is not None and not commits.entries else 2
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    assert disk.rows(ActorRow) == before
    await patient(queued)
    await patient(system.idle())
    assert Front.handled == ["/t/front"]
    await block.__aexit__(None, None, None)
    async with start(TREE, store=disk.url) as again:  # the lock was given back, and the owner row is whole
        assert not again.kernel.store.unclean


# -- the check itself ----------------------------------------------------------------------------------------


async def test_the_error_survives_pickling(memory: MemoryGround) -> None:
    async with memory.node(TREE) as system:
        error = await caught(lambda: system.ref("/t/front").tell(Go()))
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, WrongThread)
    assert (str(again), again.where) == (str(error), "thread")


async def test_a_loop_that_does_not_say_where_it_runs(memory: MemoryGround, monkeypatch: pytest.MonkeyPatch) -> None:
    """As uvloop's: the check asks asyncio for the running loop then."""
    from greenroom.persistence import home

    monkeypatch.setattr(home, "hasattr", lambda *_: False, raising=False)
    async with memory.node(TREE) as system:
        error = await caught(lambda: system.ref("/t/front").tell(Go()))
        assert isinstance(error, WrongThread)
        await unharmed(memory, system)


async def test_threads_that_tell_in_a_storm_break_nothing(ground: Ground) -> None:
    async with ground.node(TREE) as system:
        over = threading.Event()

        def storm() -> int:
            refused = 0
            while not over.is_set():
                for address in ("/t/front", "/t/light"):
                    try:
                        system.ref(address).tell(Go())
                    except WrongThread:
                        refused += 1
            return refused

        loop = asyncio.get_running_loop()
        storms = [loop.run_in_executor(None, storm) for _ in range(2)]
        for _ in range(50):
            await system.ref("/t/other").tell(Go())
        over.set()
        assert all(await asyncio.gather(*storms))
        await patient(system.idle())
        assert Front.handled == ["/t/other"] * 50
        assert rows(ground) == {}
