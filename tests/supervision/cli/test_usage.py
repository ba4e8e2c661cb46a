"""Usage, config and help: what needs no node."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from programs import Place

COMMANDS = (
    "run",
    "check",
    "config show",
    "config schema",
    "tree",
    "actors list",
    "actors show",
    "actors stop",
    "actors start",
    "actors restart",
    "actors delete",
    "actors reset",
    "actors retire",
    "actors suspend",
    "actors resume",
    "actors trace",
    "incidents list",
    "incidents show",
    "messages list",
    "messages show",
    "dead list",
    "dead show",
    "dead requeue",
    "dead discard",
    "send",
    "ask",
    "db status",
    "db verify",
    "init",
    "completion",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_helps_with_an_example(place: Place, command: str) -> None:
    shown = place.do(*command.split(), "--help").stdout
    assert f"greenroom {command}" in shown.partition("For example")[2]


def test_the_page_has_every_command_and_option(place: Place) -> None:
    page = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
    for command in COMMANDS:
        assert f"`{command}" in page or f"greenroom {command}" in page, command
        for option in re.findall(r"(--[a-z][a-z-]+)", place.do(*command.split(), "--help").stdout):
            assert option in page, (command, option)


def test_help_has_the_exit_codes(place: Place) -> None:
    shown = " ".join(place.do("--help").stdout.split())
    for text in ("0 done", "1 failed", "2 usage or config", "3 store", "70 the tree gave up"):
        assert text in shown
    assert place.do("--version").stdout.strip()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("nonsense",), "nonsense"),
        (("dead", "requeue"), "give ids, or --all"),
        (("dead", "requeue", "1", "--all"), "give ids, or --all"),
        (("dead", "discard", "one"), "one"),
        (("dead", "list", "--limit", "many"), "many"),
        (("send", "t/one", "Add"), "absolute path"),
        (("send", "/t/one", "Add", "{amount: 5}"), "no JSON"),
        (("send", "/t/one", "Add", "5"), "JSON object"),
        (("send", "/t/one", "Add", '{"$type": "Sub"}'), "'Sub'"),
        (("send", "/t/one"), "TYPE"),
        (("db", "status", "--store", "mysql://here"), "no engine 'mysql'"),
        (("check", "missing.toml"), "there is no such file"),
    ],
)
def test_what_makes_no_sense_ends_with_2(stopped: Place, arguments: tuple[str, ...], why: str) -> None:
    done = stopped.do(*arguments, code=2)
    assert why in done.stderr
    assert done.stdout == ""


def test_which_store(stopped: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    config = stopped.folder / "greenroom.toml"
    elsewhere = config.rename(stopped.folder / "other.toml")
    done = stopped.do("dead", "list", code=2)
    assert "nothing says which store is meant" in done.stderr
    stopped.do("dead", "list", "--tree", str(elsewhere))
    stopped.do("dead", "list", "--store", "sqlite:///tally.db")
    stopped.shell("dead", "list", GREENROOM_STORE__URL="sqlite:///tally.db")
    assert "no store at" in stopped.do("dead", "list", "--store", "sqlite:///missing.db", code=3).stderr
    monkeypatch.setenv("GREENROOM_STORE__URL", "sqlite:///missing.db")
    stopped.do("dead", "list", "--store", "sqlite:///tally.db")  # a flag goes before the environment
    stopped.do("dead", "list", "--tree", str(elsewhere), code=3)  # and that before the file


def test_a_default_config_file_in_any_format_but_only_one(place: Place) -> None:
    toml = place.folder / "greenroom.toml"
    content = tomllib.loads(toml.read_text())
    yaml = place.folder / "greenroom.yaml"
    yaml.write_text(json.dumps(content))  # JSON is YAML
    done = place.do("check", code=2)
    assert done.stderr == (
        "greenroom: no config file was named, and there are greenroom.toml and greenroom.yaml here. "
        "Name the one that is meant, or keep one of them.\n"
    )
    assert "there are greenroom.toml and" in place.do("dead", "list", code=2).stderr
    place.do("check", "greenroom.yaml")
    toml.unlink()
    for ending in (".yaml", ".yml", ".json"):
        yaml = yaml.rename(yaml.with_suffix(ending))
        assert "tallies  dynamic  of tally:Tally" in place.do("check").stdout
        assert "no store at" in place.do("dead", "list", code=3).stderr  # it knows which one


def test_check_prints_the_tree(place: Place) -> None:
    shown = place.do("check").stdout
    assert "tallies  dynamic  of tally:Tally" in shown
    assert place.data("check", "greenroom.toml")["id"] == "t"


def test_check_tells_every_mistake(place: Place) -> None:
    place.write(children='[[supervisor.children]]\nid = "x"\nactor = "tally:Taly"\nrestart = "sometimes"')
    done = place.do("check", code=2)
    assert "2 problems" in done.stderr
    assert "sometimes" in done.stderr
    assert "Did you mean" in done.stderr
    assert done.stdout == ""


def test_config_show_names_the_origin(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write(node="hang_s = 5")
    monkeypatch.setenv("GREENROOM_NODE__STOP_TIMEOUT_S", "7")
    found = {entry["key"]: entry for entry in place.data("config", "show")}
    assert (found["node.hang_s"]["value"], found["node.hang_s"]["origin"]) == (5, "file greenroom.toml")
    assert found["node.stop_timeout_s"]["origin"] == "environment GREENROOM_NODE__STOP_TIMEOUT_S"
    assert found["node.respawn_intensity"]["origin"] == "default"
    assert "node.hang_s" in place.do("config", "show").stdout


def test_config_schema_is_one(place: Place) -> None:
    schema = json.loads(place.do("config", "schema").stdout)
    assert schema["title"] == "greenroom config"


def test_a_reader_that_has_had_enough(stopped: Place) -> None:
    import subprocess
    import sys

    command = f"{sys.executable} -m greenroom config schema | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=stopped.folder, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0
