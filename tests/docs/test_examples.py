"""The examples in the pages run, and print what stands beside them."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, get_args

import processes
import pytest
from snippets import DOCS, ROOT, Block, blocks

from greenroom.supervision.spec.spec import Strategy

STRATEGIES = DOCS / "strategies.md"
TESTING = DOCS / "testing.md"
LINES_MAX = 20
"""Of an example of a strategy."""


class Example(NamedTuple):
    page: str
    code: Block
    output: str

    def __str__(self) -> str:
        return f"{self.page}:{self.code.line}"


def examples(page: Path) -> list[Example]:
    """A python block with a text block beside it, which has what it prints."""
    return [
        Example(page.name, code, beside.text)
        for code, beside in pairwise(blocks(page))
        if code.language == "python" and beside.language == "text"
    ]


def together(examples: list[Example]) -> Example:
    """Those of a page that goes on from block to block, as one."""
    page, code, _ = examples[0]
    joined = Block("python", "".join(example.code.text for example in examples), code.line)
    return Example(page, joined, "".join(example.output for example in examples))


EXAMPLES = [example for page in sorted(DOCS.glob("*.md")) for example in examples(page) if page != TESTING]
EXAMPLES.append(together(examples(TESTING)))


def run(folder: Path, *command: str, logs: bool = False) -> str:
    """The output of a command. It ends with 0, and without `logs` it has nothing to say on stderr."""
    done = processes.run([sys.executable, *command], cwd=folder)
    assert (done.returncode, "" if logs else done.stderr) == (0, ""), done.stderr
    return done.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_example_prints_what_stands_beside_it(tmp_path: Path, example: Example) -> None:
    (tmp_path / "example.py").write_text(example.code.text)
    assert run(tmp_path, "example.py", logs=example.page != STRATEGIES.name) == example.output


def test_the_examples_of_strategies_are_short_and_all_are_run() -> None:
    found = [block for block in blocks(STRATEGIES) if block.language == "python"]
    assert found == [example.code for example in examples(STRATEGIES)]
    assert max(len(block.text.splitlines()) for block in found) <= LINES_MAX


@pytest.mark.parametrize("strategy", get_args(Strategy))
def test_each_strategy_has_an_example_and_a_picture(strategy: str) -> None:
    _, heading, section = STRATEGIES.read_text().partition(f"\n## {strategy}\n")
    assert heading
    section = section.partition("\n## ")[0]
    assert f'strategy="{strategy}"' in section
    assert "  before  " in section
    assert "  after" in section
    assert "✗" in section


# -- the README -------------------------------------------------------------------------------------------


def readme(language: str, text: str) -> str:
    """The block of the README with this text."""
    (block,) = [block for block in blocks(ROOT / "README.md") if block.language == language and text in block.text]
    return block.text


@pytest.fixture
def quick_start(tmp_path: Path) -> Path:
    """A folder in which the README's quick start has been run twice."""
    (tmp_path / "quickstart.py").write_text(readme("python", "class Account"))
    (tmp_path / "bank.toml").write_text(readme("toml", "quickstart:Account"))
    printed = [run(tmp_path, "quickstart.py", logs=True) for _ in range(2)]
    assert "".join(f"$ python quickstart.py\n{text}" for text in printed) == readme("console", "$ python quick")
    return tmp_path


def test_the_commands_of_the_readme(quick_start: Path) -> None:
    commands = readme("console", "$ greenroom check bank.toml")
    check, node, *others = re.findall(r"^\$ greenroom ([^#\n]*)(?:#.*)?\n((?:[^$].*\n)*)", commands, re.MULTILINE)
    assert "accounts  dynamic  of quickstart:Account" in greenroom(quick_start, check[0])
    assert node[0].split() == ["run", "bank.toml"]
    running = subprocess.Popen(
        [sys.executable, "-P", "-m", "greenroom", *node[0].split()],
        cwd=quick_start,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert running.stderr is not None
        assert "/bank is up" in running.stderr.readline()
        assert [command.split()[0] for command, _ in others] == ["send", "ask", "send", "dead"]
        for command, expected in others[:-1]:
            assert greenroom(quick_start, command) == expected
        assert "-1 is no deposit" in greenroom(quick_start, others[-1][0])
    finally:
        running.terminate()
        processes.communicate(running)
    assert running.returncode == 0


def greenroom(folder: Path, command: str) -> str:
    return run(folder, "-P", "-m", "greenroom", *shlex.split(command), logs=True)
