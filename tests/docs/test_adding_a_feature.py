"""The worked example of docs/architecture.md, "Adding one", does what the page says; its diff still applies."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from grounds import MemoryGround, tree
from snippets import DOCS, ROOT, blocks

from greenroom import Actor, Message, handler
from greenroom.actors import extensions

PAGE = DOCS / "architecture.md"
PACKAGE = f"{extensions.__name__}.notes"


class Leave(Message):
    text: str


class Author(Actor[None]):
    reject_on = (ValueError,)

    @handler
    def leave_note(self, message: Leave) -> None:
        self.turn.part(sys.modules[f"{PACKAGE}.changes"].NoteChanges).note = message.text
        if message.text == "failed":
            raise ValueError(message.text)
        if message.text == "last":
            self.stop()


@pytest.fixture
def notes() -> Iterator[type[Any]]:
    """`Notes`, from the files that the page shows."""
    package = ModuleType(PACKAGE)
    package.__path__ = []
    sys.modules[PACKAGE] = package
    shown = [block for block in blocks(PAGE) if block.language == "python"]
    names = [f"{PACKAGE}.{block.text.partition('.py')[0].removeprefix('# ')}" for block in shown]
    for name, block in zip(names, shown, strict=True):
        module = sys.modules[name] = ModuleType(name)
        module.__package__ = PACKAGE
        exec(compile(block.text, f"{PAGE.name}:{block.line}", "exec"), module.__dict__)
    yield sys.modules[f"{PACKAGE}.registry"].Notes
    for name in (PACKAGE, *names):
        del sys.modules[name]


async def test_a_note_is_seen_when_its_turn_has_finished_and_goes_with_the_incarnation(
    memory: MemoryGround, notes: type[Any]
) -> None:
    async with memory.node(tree(Author)) as system:
        part = notes()
        system.kernel.add_parts(part)
        (author,) = (address for address, cell in system.kernel.cells.items() if cell.supervisor is not None)
        seen = []
        for text in ("first", "failed", "second", "last"):
            await system.ref(author).tell(Leave(text=text))
            await system.idle()
            seen.append(dict(part.by_address))
    assert seen[:3] == [{author: "first"}, {author: "first"}, {author: "second"}]
    assert seen[3] == {}


def test_the_diff_of_a_feature_that_does_nothing_applies() -> None:
    """Only `actors/system.py` is there already: the lines around each change are as the diff has them."""
    (diff,) = (block.text for block in blocks(PAGE) if block.language == "diff")
    old, _, hunks = diff.rpartition("+++ b/actors/system.py\n")
    assert set(re.findall(r"^\+\+\+ b/(.*)/", old, re.MULTILINE)) == {"actors/extensions/nothing"}
    system = (ROOT / "actors/system.py").read_text()
    around = [
        "".join(line[1:] for line in hunk.splitlines(keepends=True) if line[0] in " -")
        for hunk in re.split(r"^@@.*\n", hunks, flags=re.MULTILINE)[1:]
    ]
    assert len(around) == 2
    assert [lines for lines in around if lines not in system] == []
