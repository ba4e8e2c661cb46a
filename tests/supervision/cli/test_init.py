"""`greenroom init`, as a newcomer uses it: the project that it writes runs, and its tests pass."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from processes import run
from programs import Place, Running

FILES = ["README.md", "actors.py", "greenroom.toml", "test_actors.py"]  # in the order of their names


class Project(Place):
    """A folder without the config file of the other tests."""

    def write(self, node: str = "", supervisor: str = "", children: str = "") -> None:
        """Nothing."""


def shell(folder: Path, *command: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = run(
        [sys.executable, "-P", "-m", *command],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    assert done.returncode == code, (command, done.stdout, done.stderr)
    return done


@pytest.fixture
def empty(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A project that was just begun."""
    done = shell(tmp_path, "greenroom", "init", "my shop", "--name", "shop")
    assert sorted(done.stdout.splitlines()) == [f"my shop/{file}" for file in FILES]
    assert "cd 'my shop'\n" in done.stderr
    return tmp_path / "my shop"


def test_the_project_runs(shop: Path) -> None:
    assert "counters  dynamic  of actors:Counter" in shell(shop, "greenroom", "check").stdout
    shell(shop, "greenroom", "run", "--until-idle")
    project = Project(shop)
    apples = "/shop/counters/apples"
    for amount in (3, -1, 4):
        project.do("send", apples, "Add", json.dumps({"amount": amount}))
    shell(shop, "greenroom", "run", "--until-idle")
    assert {entry["address"]: entry["state"] for entry in project.data("actors", "list")} == {
        apples: {"total": 7},
        "/shop/summary": {"by_key": {"apples": 7}},
    }
    (dead,) = project.data("dead", "list")
    assert dead["address"] == apples
    assert "-1 is nothing to add" in json.dumps(dead)


def test_the_commands_of_its_readme(shop: Path) -> None:
    commands = [line[2:] for line in (shop / "README.md").read_text().splitlines() if line.startswith("$ greenroom ")]
    assert len(commands) == 6
    assert commands.pop(1) == "greenroom run"
    node = Running(shop)
    try:
        node.wait_for("/shop is up")
        printed = []
        for command in commands:
            line = command.replace("greenroom", f"'{sys.executable}' -m greenroom", 1)
            printed.append(run(["bash", "-c", line], cwd=shop, check=True).stdout)
        assert "summary  actors:Summary" in printed[0]
        assert printed[2] == "3\n"
        assert "/shop/counters/apples" in printed[4]
        subprocess.run(["bash", "-c", "kill -9 $(cat shop.db.lock)"], cwd=shop, check=True)
        node.wait_for("killed by SIGKILL; it starts again")
        node.wait_for("/shop is up")
        node.stop()
    finally:
        node.close()


def test_its_tests_pass_and_can_fail(shop: Path) -> None:
    (shop / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    assert "3 passed" in shell(shop, "pytest", "-q", "-p", "no:cacheprovider").stdout
    actors = shop / "actors.py"
    actors.write_text(actors.read_text().replace("self.state.total +=", "self.state.total ="))
    assert "2 failed, 1 passed" in shell(shop, "pytest", "-q", "-p", "no:cacheprovider", code=1).stdout


def test_what_it_writes_is_clean(shop: Path) -> None:
    assert sorted(path.name for path in shop.iterdir()) == FILES
    for path in shop.iterdir():
        text = path.read_text()
        assert "$name" not in text
        assert text.endswith("\n")
        assert max(map(len, text.splitlines())) <= 120, path.name
    assert tomllib.loads((shop / "greenroom.toml").read_text())["store"]["url"] == "sqlite:///shop.db"
    shell(shop, "ruff", "format", "--isolated", "--line-length=120", "--check", ".")
    shell(shop, "ruff", "check", "--isolated", "--line-length=120", "--select=B,E,F,I,PT,RET,SIM,UP", ".")


@pytest.mark.parametrize(
    ("folder", "name"),
    [("shop", "shop"), ("My Shop!", "My-Shop"), ("2nd", "app"), ("été", "t"), ("x" * 80, "x" * 50)],
)
def test_the_tree_is_named_after_its_folder(empty: Project, folder: str, name: str) -> None:
    where = empty.folder / folder
    where.mkdir()
    done = Project(where).do("init")
    assert sorted(done.stdout.split()) == FILES
    assert "cd " not in done.stderr
    assert tomllib.loads((where / "greenroom.toml").read_text())["supervisor"]["id"] == name


@pytest.mark.parametrize("present", ["README.md", "actors.py", "greenroom.yaml"])
def test_it_overwrites_nothing(empty: Project, present: str) -> None:
    (empty.folder / present).write_text("mine")
    done = empty.do("init", code=2)
    assert done.stderr == f"greenroom: nothing was written: here there is {present}. Name a folder without them\n"
    assert [(path.name, path.read_text()) for path in empty.folder.iterdir()] == [(present, "mine")]


def test_it_lists_everything_that_is_in_its_way(empty: Project) -> None:
    empty.do("init", "shop")
    before = {path.name: path.read_bytes() for path in (empty.folder / "shop").iterdir()}
    done = empty.do("init", "shop", "--name", "other", code=2)
    assert all(file in done.stderr for file in FILES)
    assert {path.name: path.read_bytes() for path in (empty.folder / "shop").iterdir()} == before


@pytest.mark.parametrize("name", ["", "a/b", 'a"b', "7up", "x" * 51, "$(reboot)", "ä"])
def test_a_name_that_is_none(empty: Project, name: str) -> None:
    done = empty.do("init", "shop", "--name", name, code=2)
    assert f'--name "{name}": write up to 50 letters' in done.stderr
    assert list(empty.folder.iterdir()) == []


def test_where_nothing_can_be_written(empty: Project) -> None:
    (empty.folder / "file").write_text("")
    assert "file is no folder" in empty.do("init", "file", code=2).stderr
    assert "can't be written: Not a directory" in empty.do("init", "file/below", code=1).stderr
