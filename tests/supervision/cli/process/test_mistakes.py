"""Mistakes of somebody who is new and tired: each is named, with the thing to do, and none is a traceback."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from programs import Place

from greenroom import Actor, ActorSystem, ChildSpec, ConfigError, SupervisorSpec, start
from greenroom.persistence.errors import StoreLocked, StoreUrlInvalid

MISSING = "there is no store at {folder}/nothere.db yet. The first start of its node makes it (greenroom run). If it"
NO_NODE = [
    ("chekc", 2, 'Unknown command "chekc". Did you mean "check"?'),
    ("check nofile.toml", 2, "nofile.toml: there is no such file. `greenroom init` writes an example"),
    ("check greenrom.toml", 2, 'greenrom.toml: there is no such file. Did you mean "greenroom.toml"?'),
    ("check .", 2, '.: this is a folder, expected a file. Did you mean "greenroom.toml"?'),
    ("check greenroom.ini", 2, 'found the ending ".ini", expected .toml, .json, .yaml or .yml'),
    ("tree --store sqlite:///nothere.db", 3, MISSING),
    ("actors list --store sqlite:///nothere.db", 3, MISSING),
    ("dead requeue 5 --store sqlite:///nothere.db", 3, MISSING),
    ("db verify --store sqlite:///nothere.db", 3, MISSING),
    ("db vacuum --store sqlite:///nothere.db", 3, MISSING),
    ("db backup x.db --store sqlite:///nothere.db", 3, MISSING),
    ("check --against sqlite:///nothere.db", 3, MISSING),
    ("actors list --store nothere.db", 2, "it has no scheme. As a URL it is sqlite:///nothere.db. Use sqlite:///path"),
    ("actors list --store sqlite://nothere.db", 2, "a SQLite URL has three slashes, and a fourth before an absolute"),
    ("actors list --store mysql://x", 2, "there is no engine 'mysql'. Use sqlite:///path/to/file.db"),
    (
        "actors list --store memory://",
        3,
        "memory:// is in the memory of one process, and can be read nowhere else. Use",
    ),
    (
        "actors list --store postgresql://u:secret@h/d",
        2,
        "'postgresql://u:***@h/d' is no store: this release has no eng",
    ),
    ("db vacuum --store sqlite:///{folder}", 2, "it names a folder, and a store is a file"),
    ("db backup no/folder/x.db", 3, "there is no folder {folder}/no/folder: make it first, or name another place"),
    ("db restore nothere.db", 3, "there is no backup at nothere.db"),
    ("dead requeue", 2, "give ids, or --all (which --address can narrow)"),
    ("dead requeue 99", 1, "there is no dead letter 99"),
    ("messages show abc", 2, "'abc' is no id: it is a number, or inbox: and a number. `greenroom messages list` gives"),
    ("messages show 5", 1, "no message 5 waits: it was handled, retired, or became a dead letter"),
    ("actors show /t/nobody", 1, "nothing is known of /t/nobody. `greenroom actors list` shows what there is"),
    ("actors retire /t/nobody", 1, "nothing is stored of /t/nobody. `greenroom actors list` shows what there is"),
    ("actors list --limit 0", 2, "for --limit. It is at least 1"),
    ("tree --limit -1", 2, "for --limit. It is at least 1"),
    ("actors suspend /t/one", 1, "no node runs on this store, so no actor does: start one with `greenroom run`"),
    ("ask /t/one Total", 1, "no node runs on this store, so nobody can answer: start one with `greenroom run`"),
    ("ask /t/one Total --timeout-s 0", 2, "it is above 0 and at most 3,162,240,000 seconds, a hundred years"),
    ("send t/one Add", 2, "'t/one' is no address: it is an absolute path, such as /bank/ledger"),
    ("send /t/one Add '[1]'", 2, "the body is a JSON object, such as '{\"amount\": 5}'"),
    ("send /t/one Add '{a: 1}'", 2, "the body is no JSON"),
    ("send /t/one Add '{}' --delay-s -5", 2, "it is at least 0 and at most 3,162,240,000 seconds, a hundred years"),
    ("send /t/one Add '{}' --key ''", 2, "an idempotency key is printable, and 1 to 500 characters"),
    ("actors trace /t/one --count 0", 2, "--count 0: it is at least 1"),
    ("init .", 2, "nothing was written: here there is greenroom.toml"),
    ("completion powershell", 2, 'Choose from: "bash", "zsh", "fish"'),
]


@pytest.mark.parametrize(("line", "code", "text"), NO_NODE, ids=[line for line, _, _ in NO_NODE])
def test_without_a_node(stopped: Place, line: str, code: int, text: str) -> None:
    folder = str(stopped.folder)
    done = stopped.do(*shlex.split(line.replace("{folder}", folder)), code=code)
    assert done.stderr.startswith("greenroom: ")
    assert text.replace("{folder}", folder) in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert "secret" not in done.stderr


WITH_A_NODE = [
    ("send /t/nobody Add '{\"amount\": 1}'", "no actor at /t/nobody: under /t there is /t/one, /t/tallies. Check the"),
    ("send /t Add '{\"amount\": 1}'", "/t is a supervisor, and takes no Add. Send it to an actor below /t"),
    ("send /t/one Ad", "/t/one knows no message type 'Ad' (did you mean 'Add'?)"),
    (
        "send /t/one Add '{\"amout\": 1}'",
        "an Add can't be sent to /t/one: Object missing required field `amount`. Send",
    ),
    (
        "ask /t/one Add '{\"amount\": 1}'",
        "Add is no request, so it has no reply. Tell it; or declare `class Add(Request",
    ),
    ("ask /t/one Totl", "/t/one knows no message type 'Totl' (did you mean 'Total'?)"),
    ("ask /t Total", "/t is a supervisor, and takes no Total. Send it to an actor below /t"),
    (
        "actors stop /t/nobody",
        "/t has no child 'nobody'. `WhichChildren`, or `greenroom tree`, shows those that it has",
    ),
    ("actors stop /t", "/t is the root of the tree, and can't be stopped alone: stop the node instead (Ctrl-C, or SIG"),
    ("actors start /t/one", "/t/one is running already"),
    ("actors delete /t/one", "/t/one is running: stop it first (greenroom actors stop /t/one)"),
    ("actors suspend /t/nobody", "no actor at /t/nobody: under /t there is /t/one, /t/tallies"),
    ("actors trace /t/nobody/ --for 1", "Begin it with a slash, and end it without one"),
    ("actors reset /t", "/t keeps nothing in the store (durable=False)"),
    (
        "actors retire /t/tallies/typo",
        "nothing is stored of /t/tallies/typo, and it doesn't run. `greenroom actors list`",
    ),
    ("dead requeue 99", "there is no dead letter 99"),
    ("db vacuum", "only one node may run on it. Stop that one first; or speak to it by a `Client`"),
    ("db backup tally.db", "tally.db belongs to the store itself; nothing was overwritten"),
]


@pytest.mark.process
@pytest.mark.parametrize(("line", "text"), WITH_A_NODE, ids=[line for line, _ in WITH_A_NODE])
def test_beside_a_node(running: Place, line: str, text: str) -> None:
    arguments = shlex.split(line)
    code = {"db vacuum": 3, "db backup tally.db": 2}.get(line, 1)
    done = running.do(*arguments, code=code)
    assert text in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.process
def test_the_traceback_of_an_actor_is_shown_and_not_pointed_at(running: Place) -> None:
    shown = running.do("ask", "/t/one", "Wonder", code=1).stderr
    assert "Traceback (most recent call last)" in shown
    assert "reason.traceback" not in shown


# -- start() ---------------------------------------------------------------------------------------------------


class Idle(Actor[None]):
    pass


TREE = SupervisorSpec(id="t", children=[ChildSpec(id="idle", actor=Idle)])
CHILD = ChildSpec(id="idle", actor=Idle)
ARGUMENTS: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    (None, {}, ConfigError, "tree: found null, expected a SupervisorSpec, or the path of a config file"),
    (Idle, {}, ConfigError, "Put it under one: SupervisorSpec"),
    (CHILD, {}, ConfigError, "found a ChildSpec, expected a SupervisorSpec"),
    ({"id": "t"}, {}, ConfigError, "found a table, expected a SupervisorSpec"),
    ("nofile.toml", {}, ConfigError, "nofile.toml: there is no such file"),
    (SupervisorSpec(id="t", children=CHILD), {}, ConfigError, "expected an array of child specs. Put it into a list"),
    (SupervisorSpec(id="t", children=[Idle]), {}, ConfigError, 'Write ChildSpec(id="…", actor=Idle)'),  # type: ignore[list-item]
    (
        SupervisorSpec(id="t", children=[ChildSpec(id="a", actor=Idle())]),
        {},
        ConfigError,
        "Give the class itself: actor=Idle",
    ),  # type: ignore[arg-type]
    (TREE, {"store": "bank.db"}, StoreUrlInvalid, "it has no scheme. As a URL it is sqlite:///bank.db"),
    (TREE, {"store": Path("bank.db")}, StoreUrlInvalid, "it is a path. As a URL it is sqlite:///bank.db"),
    (TREE, {"store": 5}, StoreUrlInvalid, "it is no URL"),
    (TREE, {"hang_s": -1}, ValueError, "hang_s=-1: it is above 0"),
    (TREE, {"hang_s": "30"}, TypeError, "hang_s='30': it is a number of seconds"),
    (TREE, {"settings": {"inbox_poll_s": 1}}, TypeError, "write Settings(...), with what differs from its defaults"),
]


@pytest.mark.parametrize(("tree", "options", "kind", "text"), ARGUMENTS, ids=[text for *_, text in ARGUMENTS])
async def test_an_argument_of_start(tree: Any, options: dict[str, Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as caught:
        async with start(tree, **options) as system:
            assert isinstance(system, ActorSystem)
    assert text in str(caught.value)


def test_a_second_worker_of_a_web_server_is_led_to_the_client() -> None:
    text = str(StoreLocked("/srv/bank.db", 4711))
    assert "/srv/bank.db is in use by process 4711; only one node may run on it" in text
    assert "by a `Client`, as the further workers of a web server do (docs/web.md)" in text
