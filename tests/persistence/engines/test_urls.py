"""Store URLs: every door refuses the same ones with the same words, no path is misread, and no password is shown."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from grounds import tree

from greenroom import Actor, Client, Message, handler, start
from greenroom.persistence.engines.open import open_store
from greenroom.persistence.engines.urls import check_url, file_uri, locate, sqlite_url
from greenroom.persistence.errors import StoreUrlInvalid, redacted
from greenroom.persistence.maintenance.acceptance import accept_loss
from greenroom.persistence.maintenance.backup import back_up
from greenroom.persistence.maintenance.restore import restore
from greenroom.persistence.maintenance.vacuum import migrate, vacuum
from greenroom.persistence.maintenance.verify import verify_file
from greenroom.persistence.runtime import Runtime
from greenroom.supervision.cli.app import main
from greenroom.supervision.cli.exit_codes import ExitCode
from greenroom.supervision.config.load import load_config
from greenroom.supervision.errors import ConfigError


class Go(Message):
    pass


class Book(Actor[dict[str, int]]):
    @handler
    def go(self, message: Go) -> None:
        self.state["gone"] = self.state.get("gone", 0) + 1


TREE = tree(("book", Book))

FOLDERS = [
    "what?",
    "50%",
    "%41%3F",
    "#1",
    "a b",
    "süß 日本",
    "a&b=c",
    "a;b'c\"d",
    "a:b@c",
    "?mode=memory",
    "back\\slash",
]


# -- folders of any name ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FOLDERS)
async def test_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    """Each opener has its file where it belongs, and nothing lies anywhere else."""
    folder = tmp_path / name
    folder.mkdir()
    path = str(folder / "bank.db")
    url = sqlite_url(path)
    async with start(TREE, store=url) as system:
        await system.ref("/t/book").tell(Go())
        await system.idle()
    async with Client(url) as client:
        await client.tell("/t/book", Go())
    backup = back_up(path, str(folder / "copy.db"), Runtime())
    assert backup.path == os.path.realpath(folder / "copy.db")
    assert verify_file(path).count == 0
    vacuum(path)
    assert migrate(path, Runtime()).backup is None
    assert accept_loss(path) is None
    done = restore(backup.path, os.path.realpath(path), Runtime(), overwrite=True)
    assert done.kept is not None
    async with start(TREE, store=url) as system:
        await system.idle()
    with closing(sqlite3.connect(path)) as connection:
        (state,) = connection.execute("SELECT state FROM greenroom_actor WHERE address = '/t/book'").fetchone()
    assert json.loads(state) == {"gone": 2}
    assert {entry.name for entry in tmp_path.iterdir()} == {name}


@pytest.mark.skipif(os.name != "posix", reason="names are bytes there")
async def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe")
    os.mkdir(folder)
    store: Any = open_store(sqlite_url(f"{folder}/bank.db"), Runtime())
    await store.open()
    await store.close()
    assert os.path.exists(f"{folder}/bank.db")


@pytest.mark.parametrize("name", FOLDERS)
def test_a_path_comes_back_from_its_url(tmp_path: Path, name: str) -> None:
    path = os.path.realpath(tmp_path / name / "bank.db")
    assert locate(sqlite_url(path, "synchronous=normal")) == (path, "NORMAL", False)


def test_two_slashes_are_no_host(tmp_path: Path) -> None:
    (tmp_path / "bank.db").touch()
    path = locate(f"sqlite:////{os.path.realpath(tmp_path)}/bank.db").path
    sqlite3.connect(file_uri(path, "mode=rw"), uri=True).close()


def test_a_question_mark_that_was_pasted_says_how_it_is_written() -> None:
    with pytest.raises(StoreUrlInvalid, match="written %3F"):
        check_url("sqlite:////srv/what?/bank.db")


# -- the same refusals at every door ------------------------------------------------------------------------

WRONG = [
    "sqlite://x",
    "sqlite://user:secret@host/bank.db",
    "sqlite:///",
    "sqlite:///:memory:",
    "sqlite:///:memory:?x",
    "sqlite:///bank.db?x=1",
    "sqlite:///bank.db?password=secret",
    "sqlite:///bank.db?synchronous=off",
    "sqlite:///a%00b",
    "sqlite:///folder/",
    "sqlite:///folder",
    "memory://x",
    "postgres://user:secret@host/bank",
    "postgresql+asyncpg://user:se/cr@et:secret@host/bank",
    "mysql://user:secret@host",
    "file:///bank.db",
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "bank.toml").write_text('[supervisor]\nid = "t"\n')
    return tmp_path


def said(url: str) -> str:
    with pytest.raises(StoreUrlInvalid) as caught:
        check_url(url)
    assert "secret" not in str(caught.value) + repr(caught.value) + caught.value.url
    return caught.value.why


@pytest.mark.parametrize("url", WRONG)
async def test_each_door_refuses_it_with_the_same_words(here: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    why = said(url)
    with pytest.raises(StoreUrlInvalid) as by_start:
        async with start(TREE, store=url):
            pass
    with pytest.raises(StoreUrlInvalid) as by_client:
        Client(url)
    assert by_start.value.why == by_client.value.why == why
    monkeypatch.setenv("GREENROOM_STORE__URL", url)
    with pytest.raises(ConfigError) as by_environment:
        load_config("bank.toml")
    with pytest.raises(ConfigError) as by_flag:
        load_config("bank.toml", environ={}, overrides={"store.url": url})
    (here / "bank.toml").write_text(f'[supervisor]\nid = "t"\n[store]\nurl = "{url}"\n')
    with pytest.raises(ConfigError) as by_file:
        load_config("bank.toml", environ={})
    for error in (by_environment, by_flag, by_file):
        assert why[1:] in str(error.value)
        assert "secret" not in str(error.value)
    assert not [entry for entry in here.iterdir() if entry.name not in ("folder", "bank.toml")], "nothing was made"


@pytest.mark.parametrize("url", ["", "   "])
async def test_an_empty_one(here: Path, url: str) -> None:
    assert said(url) == "it is empty"
    with pytest.raises(ConfigError, match="for example"):
        load_config("bank.toml", environ={}, overrides={"store.url": url})


@pytest.mark.parametrize("url", WRONG)
@pytest.mark.parametrize(
    "command", [["db", "status"], ["db", "verify"], ["actors", "list", "--json"], ["check", "b.toml"]]
)
def test_no_command_shows_a_password(
    here: Path, url: str, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    if command[0] == "check":
        (here / "b.toml").write_text(f'[supervisor]\nid = "t"\n[store]\nurl = "{url}"\n')
    else:
        command = [*command, "--store", url]
    assert main(command) == ExitCode.USAGE
    shown = "".join(capsys.readouterr())
    assert said(url)[1:].split()[0] in shown
    assert "secret" not in shown


# -- passwords ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgres://user:secret@host/db", "postgres://user:***@host/db"),
        ("postgres://:secret@host/db", "postgres://:***@host/db"),
        ("postgres://user:se@cr:e/t?@host/db", "postgres://user:***@host/db"),
        ("postgres:user:secret@host", "postgres:user:***@host"),
        ("postgres:///user:secret@host", "postgres:///user:***@host"),
        ("user:secret@host/db", "user:***@host/db"),
        ("PG://me:secret@db", "PG://me:***@db"),
        ("sqlite://user:secret@host", "sqlite://user:***@host"),
        ("postgres://host/db?user=me&password=secret&x=1", "postgres://host/db?user=me&password=***&x=1"),
        ("postgres://host/db?sslpassword=secret", "postgres://host/db?sslpassword=***"),
        ("postgres://host:5432/db", "postgres://host:5432/db"),
        ("sqlite:////srv/a:b@c/bank.db", "sqlite:////srv/a:b@c/bank.db"),
        ("sqlite:///bank.db?synchronous=normal", "sqlite:///bank.db?synchronous=normal"),
        ("memory://", "memory://"),
    ],
)
def test_a_password_is_hidden_and_nothing_else(url: str, shown: str) -> None:
    assert redacted(url) == shown
