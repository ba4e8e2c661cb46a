"""A class that was defined twice, or that belongs to the running script, is what it seems, or the error says so."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from grounds import MemoryGround, tree
from processes import environment, run

from greenroom import AskFailed, ChildSpec, ConfigError, UnhandledMessage
from greenroom.actors.messages.errors import DEFINED_TWICE
from greenroom.persistence.store.rows import ActorRow, DeadLetterRow
from greenroom.supervision.spec.references import Unresolvable, refer, resolve

MODULE = """
import msgspec
from greenroom import Actor, Message, Request, handler

class Sum(msgspec.Struct):
    total: int = 0

class Add(Message):
    amount: int

class Total(Request[int]):
    pass

class Get(Request[Sum]):
    pass

class Five(Message):
    pass

class Odd(Exception):
    pass

class Counter(Actor[Sum]):
    @handler
    def add(self, message: Add) -> None:
        self.state.total += message.amount

    @handler
    def total(self, message: Total) -> int:
        return self.state.total

    @handler
    def get(self, message: Get) -> Sum:
        return Sum(total=self.state.total)

    @handler
    def five(self, message: Five) -> None:
        self.state = Sum(total=5)
"""


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module that a test may load again, as a notebook does."""
    (tmp_path / "book.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield importlib.import_module("book")
    del sys.modules["book"]


def run_again(book: ModuleType, *names: str) -> None:
    """Define some of the module's classes again, as a cell of a notebook does that runs again."""
    for part in MODULE.split("\n\nclass "):
        if part.startswith(tuple(f"{name}(" for name in names)):
            exec(f"class {part}", vars(book))


# -- messages, replies, states -------------------------------------------------------------------------------------


async def test_a_message_of_the_newer_class_to_an_actor_of_the_older(memory: MemoryGround, book: Any) -> None:
    async with memory.node(tree(book.Counter)) as system:
        counter = system.ref("/t/counter")
        run_again(book, "Add", "Total")
        await counter.tell(book.Add(amount=1))
        await system.idle()
        with pytest.raises(UnhandledMessage, match=f"^/t/counter handles another book:Total .* {DEFINED_TWICE}"):
            await counter.ask(book.Total())
    (letter,) = memory.rows(DeadLetterRow)
    assert letter.cause == "unhandled"
    assert letter.text.startswith(f"/t/counter handles another book:Add than this one: the class {DEFINED_TWICE}. Def")


async def test_the_advice_holds(memory: MemoryGround, book: Any) -> None:
    run_again(book, "Add", "Total")
    run_again(book, "Counter")
    async with memory.node(tree(book.Counter)) as system:
        await system.ref("/t/counter").tell(book.Add(amount=1))
        assert await system.ref("/t/counter").ask(book.Total()) == 1


async def test_a_message_of_that_name_from_elsewhere(memory: MemoryGround, book: Any) -> None:
    other = ModuleType("other")
    sys.modules["other"] = other
    try:
        exec(MODULE, vars(other))
        async with memory.node(tree(book.Counter)) as system:
            with pytest.raises(UnhandledMessage, match=r"handles book:Total, and this is other:Total\. Import it from"):
                await system.ref("/t/counter").ask(vars(other)["Total"]())
    finally:
        del sys.modules["other"]


async def test_a_reply_of_the_newer_class(memory: MemoryGround, book: Any) -> None:
    async with memory.node(tree(book.Counter)) as system:
        run_again(book, "Sum")
        with pytest.raises(AskFailed, match=f"The class Sum {DEFINED_TWICE}") as caught:
            await system.ref("/t/counter").ask(book.Get())
        assert caught.value.reason.error == "greenroom.ReplyError"


async def test_a_state_of_the_newer_class(memory: MemoryGround, book: Any) -> None:
    async with memory.node(tree(ChildSpec(id="counter", actor=book.Counter, max_attempts=1))) as system:
        run_again(book, "Sum")
        await system.ref("/t/counter").tell(book.Five())
        await system.idle()
    (letter,) = memory.rows(DeadLetterRow)
    assert f"The class Sum {DEFINED_TWICE}" in letter.text


# -- actors ------------------------------------------------------------------------------------------------------


async def test_a_spec_names_the_class_that_there_is_at_the_start(memory: MemoryGround, book: Any) -> None:
    spec = tree(book.Counter)
    run_again(book, "Counter")
    async with memory.node(spec) as system:
        incarnation = system.kernel.cells["/t/counter"].incarnation
        assert incarnation is not None
        assert type(incarnation.actor) is book.Counter


async def test_the_older_class_never_stands_in_for_the_newer(memory: MemoryGround, book: Any) -> None:
    older = book.Counter
    run_again(book, "Counter")
    with pytest.raises(ConfigError) as caught:
        async with memory.node(tree(ChildSpec(id="one", actor=older), ChildSpec(id="two", actor=book.Counter))):
            pass
    (problem,) = caught.value.problems
    assert problem.key == "children[0].actor"
    assert f'module "book" has another class of that name by now: it {DEFINED_TWICE}' in problem.why
    assert problem.hint.startswith("Import it again")
    assert resolve(refer(book.Counter)) is book.Counter
    async with memory.node(tree(book.Counter)) as system:  # a spec of the older one was made meanwhile
        incarnation = system.kernel.cells["/t/counter"].incarnation
        assert incarnation is not None
        assert type(incarnation.actor) is book.Counter


async def test_the_same_with_an_exception(memory: MemoryGround, book: Any) -> None:
    older = book.Odd
    importlib.reload(book)
    spec = tree(ChildSpec(id="one", actor=book.Counter, retry_on=[older]))
    with pytest.raises(ConfigError, match=r"children\[0\]\.retry_on\[0\].*has another class of that name"):
        async with memory.node(spec):
            pass


async def test_a_class_local_to_a_function_may_be_defined_again_and_again(memory: MemoryGround, book: Any) -> None:
    def make() -> Any:
        class Local(book.Counter):  # type: ignore[misc,name-defined]
            pass

        return Local

    one, two = make(), make()
    async with memory.node(tree(ChildSpec(id="one", actor=one), ChildSpec(id="two", actor=two))) as system:
        for address, cls in (("/t/one", one), ("/t/two", two)):
            incarnation = system.kernel.cells[address].incarnation
            assert incarnation is not None
            assert type(incarnation.actor) is cls


# -- the running script ------------------------------------------------------------------------------------------


SCRIPT = f"""{MODULE}
import asyncio, multiprocessing, sys
from greenroom import AskFailed, ChildSpec, SupervisorSpec, start
from greenroom.persistence.store.rows import ActorRow, ChildRow

TREE = SupervisorSpec(id="t", children=[ChildSpec(id="counter", actor=Counter, reject_on=[Odd])])

async def main():
    async with start(TREE, store="sqlite:///book.db") as system:
        counter = system.ref("/t/counter")
        await counter.tell(Add(amount=1))
        rows = [*await system.kernel.store.scan(ActorRow), *await system.kernel.store.scan(ChildRow)]
        named = "__m" in "".join(str(row) for row in rows)
        print(Counter.__module__, await counter.ask(Total()), rows[0].type, named, flush=True)

def live():
    asyncio.run(main())

if __name__ == "__main__":
    live()
    for method in ("spawn", "forkserver"):
        process = multiprocessing.get_context(method).Process(target=live)
        process.start()
        process.join()
    import book
    book.live()
"""


@pytest.mark.process
@pytest.mark.parametrize("how", [["book.py"], ["-m", "book"]])
def test_a_spawned_process_runs_the_actors_of_its_script(tmp_path: Path, how: list[str]) -> None:
    """There the script is called `__mp_main__`, and that is stored nowhere."""
    (tmp_path / "book.py").write_text(SCRIPT)
    done = run([sys.executable, *how], cwd=tmp_path, env=environment(), check=True)
    lines = [line for line in done.stdout.splitlines() if line]
    assert lines == [
        "__main__ 1 book:Counter False",
        "__mp_main__ 2 book:Counter False",
        "__mp_main__ 3 book:Counter False",
        "book 4 book:Counter False",
    ]


def test_a_class_of_a_session_that_is_gone() -> None:
    with pytest.raises(Unresolvable, match=r"It was defined in a notebook, an interactive session.*Move it to a mod"):
        resolve("__main__:Counter")


async def test_the_rows_of_a_reloaded_module_are_its_own(memory: MemoryGround, book: Any) -> None:
    async with memory.node(tree(book.Counter)) as system:
        await system.ref("/t/counter").tell(book.Add(amount=1))
    importlib.reload(book)
    async with memory.node(tree(book.Counter)) as system:
        assert await system.ref("/t/counter").ask(book.Total()) == 1
    (row,) = memory.rows(ActorRow)
    assert row.type == "book:Counter"
