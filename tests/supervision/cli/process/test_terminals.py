"""Whatever messages and exceptions hold, a listing is shown, and the terminal stays as it was."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from loguru import logger
from programs import Done, Place
from tally import Add, Crash, Fail

from greenroom import Actor, ChildSpec, ExitReason, SupervisorSpec, handler, start
from greenroom.persistence.engines.open import open_store
from greenroom.persistence.events import Event
from greenroom.persistence.runtime import Runtime
from greenroom.persistence.store.rows import InboxRow
from greenroom.supervision.cli import app
from greenroom.supervision.cli.process.log import set_up_log
from greenroom.supervision.node.log import log_event
from greenroom.supervision.printable import json_safe, printable
from greenroom.testing import Recorder

HOSTILE = "é 😀 \x1b[2J\x1b]0;owned\x07\x9b31m\r\x00\u202egnp.exe\x7f"
"""Two letters that ASCII lacks, sequences that clear a screen, rename a window and turn it red, and marks that turn the
direction of writing."""
ODD = "/t/tallies/münchen-😀"
NEVER = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]")


class Loud(Actor[None]):
    """Its child and its message say the same hostile text."""

    def __init__(self, *, text: str = "") -> None:
        self.text = text

    @handler
    def crash(self, message: Crash) -> None:
        raise ZeroDivisionError(HOSTILE)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A store with hostile texts in a state's address, a message that waits, the inbox, a dead letter, an incident."""
    place = Place(tmp_path_factory.mktemp("hostile"))
    tree = SupervisorSpec(
        id="t",
        children=[
            ChildSpec(id="loud", actor=Loud, args={"text": HOSTILE}),
            SupervisorSpec(id="tallies", strategy="dynamic", template=ChildSpec(id="tally", actor="tally:Tally")),
        ],
    )

    async def fill() -> None:
        events = Recorder()
        async with start(tree, store=place.url, on_event=events) as system:
            await system.ref(ODD).tell(Add(amount=1))
            await system.ref(ODD).tell(Fail(why=HOSTILE))
            await system.ref(ODD).tell(Fail(why=HOSTILE), delay_s=1000, key="schlüssel")
            await system.ref("/t/loud").tell(Crash())
            await events.until("actor.started", "/t/loud", count=2)  # so its supervisor has recorded the incident

    async def leave() -> None:
        """A row for an address that our own doors refuse: others may write rows, too."""
        body = json.dumps({"$type": "Fail", "why": HOSTILE})
        reader = open_store(place.url, Runtime())
        await reader.open_reader()
        await reader.submit(
            [InboxRow(0, Runtime().uid(), "tell", f"/t/{HOSTILE}", "Fail", body, None, 0, None, None, 0)]
        )
        await reader.close()

    asyncio.run(fill())
    asyncio.run(leave())
    yield place
    place.close()


def shown(place: Place, *arguments: str, encoding: str, code: int = 0) -> Done:
    """A command in this process, whose output goes to a terminal of this encoding."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict") for _ in range(2))
    with chdir(place.folder), redirect_stdout(out), redirect_stderr(err), patch.object(app, "set_up_log"):
        found = app.main(arguments)
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode(encoding))  # type: ignore[attr-defined]
    assert found == code, (arguments, found, texts)
    return Done(*texts)


LISTINGS = (
    "actors list",
    f"actors show {ODD}",
    "messages list",
    "messages show inbox:1",
    "dead list",
    "dead show {letter}",
    "incidents list",
    "incidents show {incident}",
    "timers list",
    "tree",
    "check --diff sqlite:///tally.db",
    "check --against sqlite:///tally.db",
    "db status",
    "db verify",
)


def arguments_of(place: Place, listing: str) -> list[str]:
    ids = {"letter": "dead", "incident": "incidents"}
    numbers = {name: place.data(command, "list")[0]["id"] for name, command in ids.items() if f"{{{name}}}" in listing}
    return listing.format(**numbers).split()


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
@pytest.mark.parametrize("listing", LISTINGS)
def test_a_listing_is_shown_on_every_terminal(store: Place, listing: str, encoding: str) -> None:
    code = int("--against" in listing)  # the file of this store has another tree
    done = shown(store, *arguments_of(store, listing), encoding=encoding, code=code)
    assert done.stdout + done.stderr
    assert not NEVER.search(done.stdout + done.stderr)


@pytest.mark.parametrize("listing", [listing for listing in LISTINGS if not listing.startswith("db verify")])
def test_json_means_the_same_on_every_terminal(store: Place, listing: str) -> None:
    arguments, code = [*arguments_of(store, listing), "--json"], int("--against" in listing)
    texts = [shown(store, *arguments, encoding=name, code=code).stdout for name in ("utf-8", "ascii", "latin-1")]
    assert not NEVER.search("".join(texts))
    assert texts[1].isascii()
    first, *others = map(json.loads, texts)
    assert others == [first, first]


def test_nothing_is_lost_of_a_text(store: Place) -> None:
    """The escapes say what is there, and JSON gives it back."""
    (letter,) = shown_json(store, "dead", "list", encoding="ascii")
    assert letter["body"]["why"] == HOSTILE
    assert letter["address"] == ODD
    text = shown(store, "dead", "show", str(letter["id"]), encoding="utf-8").stdout
    assert "é 😀 \\x1b[2J" in text
    assert "\\x9b31m\\x0d\\x00\\u202egnp.exe\\x7f" in text
    assert "\\u202e" in shown(store, "messages", "list", encoding="ascii").stdout


def shown_json(place: Place, *arguments: str, encoding: str) -> Any:
    return json.loads(shown(place, *arguments, "--json", encoding=encoding).stdout)


def test_an_error_is_shown_as_well(store: Place) -> None:
    done = shown(store, "actors", "show", f"/t/{HOSTILE}x", encoding="ascii", code=1)
    assert "\\x1b[2J" in done.stderr
    assert not NEVER.search(done.stderr)
    done = shown(store, "actors", "list", f"--{HOSTILE}", encoding="ascii", code=2)
    assert not NEVER.search(done.stderr)


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_in_a_process_of_its_own(store: Place, environment: dict[str, str]) -> None:
    done = store.shell("dead", "list", **environment, PYTHONCOERCECLOCALE="0")
    assert "Fail" in done.stdout
    assert done.stdout.isascii()
    assert store.shell("--help", **environment, PYTHONCOERCECLOCALE="0").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("actors", "show", "/t/\udcff"),
        ("send", "/t/one", "Add", "{}", "--key", "\udcff"),
        ("tree", "\udcff"),
    ],
)
def test_an_argument_that_is_no_text(stopped: Place, arguments: tuple[str, ...]) -> None:
    done = stopped.do(*arguments, code=2)
    assert done.stderr.startswith("greenroom: the argument '")
    assert "\\udcff" in done.stderr
    assert "Write it in that encoding" in done.stderr


# -- the log ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "address", "measures"),
    [
        ("message.parked", ODD, {"type": HOSTILE, "cause": "failed", "attempts": 1, "error": "E", "text": HOSTILE}),
        ("actor.exited", f"/{HOSTILE}", {"kind": "error", "error": "E", "text": HOSTILE, "traceback": HOSTILE}),
        ("task.failed", ODD, {"task_name": HOSTILE, "restarts": 1, "error": "E", "text": f"{HOSTILE}\nmore"}),
    ],
)
def test_a_log_line(name: str, address: str, measures: dict[str, Any]) -> None:
    lines: list[str] = []
    number = logger.add(lines.append, format="{message}", level=0)
    try:
        log_event(Event(name, 0.0, address, measures))
    finally:
        logger.remove(number)
    assert lines
    assert "\\x1b[2J" in "".join(lines)
    assert not NEVER.search("".join(lines))


def _unchanged(record: Any) -> None:
    """The patcher of other tests."""


def test_what_a_node_says_in_its_process(tmp_path: Path) -> None:
    """The report of a tree that gave up goes through the log of the process; the user's own lines stay as they are."""
    lines: list[str] = []
    set_up_log("normal", lines.append)
    try:
        ours = {"__name__": "greenroom.supervision.cli.process.child", "logger": logger, "text": HOSTILE}
        exec("logger.error(text)", ours)
        logger.info("\x1b[1mmine\x1b[0m")
    finally:
        logger.remove()
        logger.configure(patcher=_unchanged)
    assert not NEVER.search(lines[0])
    assert "\x1b[1mmine\x1b[0m" in lines[1]


# -- the rule -------------------------------------------------------------------------------------------------------


def test_new_lines_and_letters_stay() -> None:
    text = "Traceback:\n\tin ünï\n😀"
    assert printable(text) == text
    assert printable("half \ud800") == "half \\ud800"
    assert printable(str(ExitReason("error", text="\x1b"))) == "error: \\x1b"


def test_json_stays_json() -> None:
    for data in (HOSTILE, ODD, {"ü": ["😀", "\x9b"]}):
        for encoding in ("utf-8", "ascii", "latin-1", "cp1252", None, "no such encoding"):
            text = json_safe(json.dumps(data, ensure_ascii=False), encoding)
            assert json.loads(text) == data
            text.encode(encoding if encoding and "such" not in encoding else "utf-8")
