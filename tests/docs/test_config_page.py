"""docs/config.md has every key with its default, and its three files say the same."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from snippets import DOCS, Block, blocks

from greenroom import Backoff, ChildSpec, SupervisorSpec
from greenroom.actors.definition.options import Options
from greenroom.supervision.config.load import load_config
from greenroom.supervision.config.sections import ConfigFile, settable
from greenroom.supervision.spec.spec import RestartBackoff

PAGE = DOCS / "config.md"
BANK = """
from greenroom import Actor
class Ledger(Actor[None]):
    def __init__(self, *, currency: str) -> None: ...
class Account(Actor[None]): ...
"""


def rows(heading: str, column: int = 1) -> dict[str, str]:
    """Key to default, of all tables below a heading."""
    section = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:3] == "| `"
    ]
    return {row[0].strip("`"): row[column].strip("`") for row in cells}


def defaults(kind: type[msgspec.Struct], without: tuple[str, ...] = ()) -> dict[str, str]:
    """The same, from the code. A value that is None, missing or a table of its own stands as nothing."""
    found = {}
    for field in msgspec.structs.fields(kind):
        value: Any = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        if field.name not in without:
            plain = value is not msgspec.NODEFAULT and value is not None and not isinstance(value, Backoff)
            found[field.name] = json.dumps(value) if plain else ""
    return found


SECTIONS = [field for field in msgspec.structs.fields(ConfigFile) if field.name != "supervisor"]


@pytest.mark.parametrize("section", SECTIONS, ids=[field.name for field in SECTIONS])
def test_sections(section: msgspec.structs.FieldInfo) -> None:
    assert rows(f"[{section.name}]") == defaults(section.type)


def test_supervisors() -> None:
    assert rows("A supervisor") == defaults(SupervisorSpec)


def test_actors() -> None:
    options = defaults(Options) | {"idle_timeout_s": '"infinity"'}
    assert rows("An actor") == defaults(ChildSpec) | options


def test_backoffs() -> None:
    assert rows("Backoffs", 1) == defaults(Backoff) | {"reset_s": ""}
    assert rows("Backoffs", 2) == defaults(RestartBackoff)


FILES = [block for block in blocks(PAGE) if block.language in ("toml", "yaml", "json")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory, with the module that the files name."""
    (tmp_path / "bank.py").write_text(BANK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(tmp_path)  # the path is as before afterwards
    yield tmp_path
    sys.modules.pop("bank", None)


def test_the_three_files_say_the_same(folder: Path) -> None:
    assert [block.language for block in FILES] == ["toml", "yaml", "json"]
    configs = [load(block) for block in FILES]
    assert configs[0].store.url == f"sqlite:///{folder}/bank.db"
    assert [child.id for child in configs[0].tree.children] == ["ledger", "accounts"]
    for config in configs[1:]:
        assert (config.tree, config.store) == (configs[0].tree, configs[0].store)


def load(block: Block) -> Any:
    path = Path(f"bank.{block.language}")
    path.write_text(block.text)
    return load_config(path, environ={})


def test_variables_are_such() -> None:
    known = {f"GREENROOM_{key.replace('.', '__').upper()}" for key in settable()}
    named = set(re.findall(r"GREENROOM_[A-Z_]+", PAGE.read_text()))
    assert named
    assert named <= known
