"""`greenroom completion`: the scripts are such, and bash's completes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from processes import run
from programs import Place

COMPLETE = """
source greenroom.bash
spec=$(complete -p greenroom)
COMP_WORDS=(greenroom "$@")
COMP_CWORD=$#
${spec#*-F }
printf '%s\\n' "${COMPREPLY[@]}"
""".replace("${spec#*-F }", 'function=${spec#*-F }; "${function%% *}"')


def bash(folder: Path, script: str, *arguments: str) -> str:
    done = run(["bash", "--norc", "-c", script, "bash", *arguments], cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture
def script(place: Place) -> Path:
    (place.folder / "greenroom.bash").write_text(place.do("completion", "bash").stdout)
    return place.folder


def test_bash_takes_the_script(script: Path) -> None:
    assert bash(script, "bash -n greenroom.bash") == ""


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["d"], {"dead", "db"}),
        (["ini"], {"init"}),
        (["completion", ""], {"bash", "zsh", "fish"}),
        (["dead", "re"], {"requeue"}),
        (["run", "--until"], {"--until-idle"}),
        (["run", "greenroom.t"], {"greenroom.toml"}),
        (["dead", "list", "--tree", "greenroom.t"], {"greenroom.toml"}),
        (["nonsense-that-there-is-not"], set()),
    ],
)
def test_bash_completes(script: Path, typed: list[str], offered: set[str]) -> None:
    assert set(bash(script, COMPLETE, *typed).split()) == offered


def test_bash_offers_every_command(script: Path, place: Place) -> None:
    offered = set(bash(script, COMPLETE, "").split())
    shown = place.do("--help").stdout.partition("Commands")[2]
    assert offered == {word for word in offered if word in shown}
    assert {"run", "check", "config", "tree", "actors", "messages", "dead", "send", "ask", "db"} <= offered


@pytest.mark.parametrize(("shell", "names"), [("zsh", "#compdef greenroom"), ("fish", "complete -c greenroom")])
def test_the_scripts_of_other_shells(place: Place, shell: str, names: str) -> None:
    text = place.do("completion", shell).stdout
    assert names in text
    assert "requeue" in text
    if found := shutil.which(shell):
        run([found, "-n"], input=text, check=True)


def test_no_other_shell(place: Place) -> None:
    assert "tcsh" in place.do("completion", "tcsh", code=2).stderr
