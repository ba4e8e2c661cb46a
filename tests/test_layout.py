"""The layout of docs/architecture.md: rooms of few entries, files of few lines, and nobody who knows everything.

A limit that is a number of today may be lowered by whoever gets below it. Nobody raises one.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest
from grounds import MemoryGround, tree
from processes import folders

from greenroom import Actor
from greenroom.actors.kernel.cell import Cell

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("actors", "persistence", "supervision")
ENTRIES_MAX = 13
CROWDED = {"supervision/cli/commands", "tests/benchmarks", "tests/benchmarks/peers"}
"""One file for each command, for each thing that is measured, and for each peer."""
LINES_MAX = 400
MEDIAN = (100, 250)
PUBLIC_MAX = {"ActorSystem": 11, "Kernel": 61}
"""Public names of a live instance, methods included: neither may become what everybody walks through."""
BELOW_THE_FACE = ("mailbox", "kernel", "execution", "delivery", "extensions", "recovery")
CALLED = {"cell", "child", "heir", "other", "parent", "receiver", "sender", "running"}
"""Names of variables that hold a cell."""
DIRT = {"__pycache__", ".mypy_cache", ".hypothesis", ".DS_Store"}


class Idle(Actor[None]):
    pass


def files(*tops: str) -> Iterator[Path]:
    for top in tops:
        yield from sorted(path for path in (ROOT / top).rglob("*.py") if not DIRT & set(path.parts))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def lines(path: Path) -> int:
    return len(path.read_text(errors="replace").splitlines())


@pytest.mark.parametrize("top", [*LAYERS, "tests", "examples"])
def test_a_folder_has_few_entries(top: str) -> None:
    found = Counter[str]()
    for path in (ROOT / top).rglob("*"):
        if not DIRT & set(path.parts):
            found[name(path.parent)] += 1
    assert found
    assert not {folder: count for folder, count in found.items() if count > ENTRIES_MAX and folder not in CROWDED}


def test_a_file_has_few_lines() -> None:
    found = {name(path): lines(path) for path in files(*LAYERS, ".src", "tests", "examples")}
    assert len(found) > 300
    assert not {file: count for file, count in found.items() if count > LINES_MAX}


@pytest.mark.parametrize("layer", LAYERS)
def test_most_files_say_one_thing_whole(layer: str) -> None:
    """Neither long ones, nor crumbs."""
    least, most = MEDIAN
    assert least <= median(lines(path) for path in files(layer) if path.name != "__init__.py") <= most


def test_the_init_of_a_room_is_a_docstring() -> None:
    rooms = [path for path in files(*LAYERS) if path.name == "__init__.py"]
    assert len(rooms) > 20
    for path in rooms:
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), f"{name(path)} doesn't say what is where"
        assert len(tree.body) == 1, f"{name(path)} has more than a docstring"


def test_the_docstring_of_a_room_names_each_entry() -> None:
    """A newcomer finds a file by it. The scripts of migrations are named by their numbers, so a list says nothing."""
    missing = []
    for path in files(*LAYERS):
        if path.name == "__init__.py" and path.parent.name != "versions":
            named = set(re.findall(r"\w+", path.read_text()))
            rooms = {folder.parent.name for folder in path.parent.glob("*/__init__.py")}
            entries = rooms | {file.stem for file in path.parent.glob("*.py") if file != path}
            missing += [f"{name(path)}: {entry}" for entry in sorted(entries - named)]
    assert not missing, "\n".join(missing)


async def test_nobody_knows_everything(memory: MemoryGround) -> None:
    async with memory.node(tree(Idle)) as system:
        for which, instance in (("ActorSystem", system), ("Kernel", system.kernel)):
            names = [name for name in dir(instance) if not name.startswith("_")]
            assert len(names) <= PUBLIC_MAX[which], f"{which} has {len(names)} public names: {', '.join(names)}"


def test_no_way_round_the_kernel() -> None:
    found = [
        f"{name(path)}:{number}"
        for path in files(*(f"actors/{room}" for room in BELOW_THE_FACE))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"\.(system|_system)\.", line)
    ]
    assert not found, "\n".join(found)


def test_a_cell_owns_its_transitions() -> None:
    """Other rooms read a cell's fields, and change them by its methods."""
    owners = ("actors/kernel/", "actors/execution/")
    found = []
    for path in files("actors", "supervision"):
        if name(path).startswith(owners):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            found += [f"{name(path)}:{target.lineno}" for target in targets if _is_field_of_a_cell(target)]
    assert not found


def _is_field_of_a_cell(target: ast.AST | None) -> bool:
    if not isinstance(target, ast.Attribute) or target.attr not in Cell.__slots__:
        return False
    owner = target.value
    called = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
    return called.strip("_") in CALLED


def test_no_module_is_called_utils() -> None:
    assert not [name(path) for path in files(*LAYERS, "tests", "examples") if re.search(r"util|helper", path.name)]


def test_no_two_files_of_tests_share_a_name() -> None:
    """Pytest imports the tests by their name alone, and the tests their helpers: one would hide the other."""
    alone = (path for path in files("tests") if not (path.parent / "__init__.py").exists())
    found = Counter(path.stem for path in alone if path.name != "conftest.py")
    assert not {stem for stem, count in found.items() if count > 1}


def test_every_folder_of_helpers_is_listed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert settings["pythonpath"] == [name(folder) for folder in folders()]
