"""Running the command line as a user does: real processes, whose lines the tests wait for."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from threading import Condition, Thread
from typing import Any, NamedTuple
from unittest.mock import patch

import stacks
from processes import ended, run
from pulse import LOOK_S, Pulse

from greenroom import Client, Message
from greenroom.persistence.engines.open import open_store
from greenroom.persistence.runtime import Runtime
from greenroom.supervision.cli import app

ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{Path(__file__).parent}{os.pathsep}{Path(stacks.__file__).parent}"}
"""The nodes find the actors of these tests, show their stacks if asked, and have no other settings than the tests'."""

TREE = """
[store]
url = "sqlite:///tally.db"

[node]
{node}

[supervisor]
id = "t"
{supervisor}

[[supervisor.children]]
id = "one"
actor = "tally:Tally"

[[supervisor.children]]
id = "tallies"
strategy = "dynamic"
template = {{ id = "tally", actor = "tally:Tally" }}
{children}
"""


class Done(NamedTuple):
    stdout: str
    stderr: str


class Place:
    """A folder with a config file and (once a node has run) its store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder}/tally.db"
        self._running: list[Running] = []
        self.write()

    def write(self, node: str = "", supervisor: str = "", children: str = "") -> None:
        text = TREE.format(node=node, supervisor=supervisor, children=children)
        (self.folder / "greenroom.toml").write_text(text)

    def run(self, *arguments: str) -> Running:
        """Start `greenroom run`."""
        running = Running(self.folder, *arguments)
        self._running.append(running)
        return running

    def up(self, *arguments: str) -> Running:
        """The same, and wait until the tree is up."""
        running = self.run(*arguments)
        running.wait_for("/t is up")
        return running

    def prepare(self) -> None:
        """Make the store, as a node would."""

        async def make() -> None:
            store = open_store(self.url, Runtime())
            await store.open()
            await store.close()

        asyncio.run(make())

    def shell(self, *arguments: str, code: int = 0, **environment: str) -> Done:
        """Run one command in a process of its own."""
        command = [sys.executable, "-P", "-m", "greenroom", *arguments]
        done = run(command, cwd=self.folder, env={**ENVIRONMENT, **environment})
        assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
        return Done(done.stdout, done.stderr)

    def do(self, *arguments: str, code: int = 0) -> Done:
        """The same in this process, which saves the interpreter's start."""
        out, err = io.StringIO(), io.StringIO()
        with chdir(self.folder), redirect_stdout(out), redirect_stderr(err), patch.object(app, "set_up_log"):
            found = app.main(arguments)
        assert found == code, (arguments, found, out.getvalue(), err.getvalue())
        return Done(out.getvalue(), err.getvalue())

    def data(self, *arguments: str) -> Any:
        """The output of a command with --json."""
        return json.loads(self.do(*arguments, "--json").stdout)

    def tell(self, *letters: tuple[str, Message]) -> None:
        """Put messages into the inbox, in this order; on return they are on disk."""

        async def tell() -> None:
            async with Client(self.url) as client:
                for address, message in letters:
                    await client.tell(address, message)

        asyncio.run(tell())

    def total(self, address: str) -> Any:
        """The actor's answer. It has handled everything that was told to it before."""
        return json.loads(self.do("ask", address, "Total").stdout)

    def pid(self) -> int:
        """Of the node, from its lock file."""
        return int((self.folder / "tally.db.lock").read_text())

    def kill_node(self) -> None:
        os.kill(self.pid(), signal.SIGKILL)

    def close(self) -> None:
        for running in self._running:
            running.close()


class Running:
    """A process whose stderr is read line by line."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "greenroom", "run", *arguments],
            cwd=folder,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._seen = 0
        self._ended = False
        self._changed = Condition()
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(self, text: str) -> str:
        """The next line with this text, after the one that was waited for last."""
        pulse = Pulse(self.process.pid)
        with self._changed:
            while True:
                while self._seen < len(self.lines):
                    line = self.lines[self._seen]
                    self._seen += 1
                    if text in line:
                        return line
                assert not self._ended, f"it ended without saying {text!r}:\n{self.log}"
                if not self._changed.wait(LOOK_S) and (why := pulse.look()):
                    stacks.ask_for_stacks(self.process.pid)
                    raise AssertionError(f"it doesn't say {text!r}: {why}\n{self.log}")

    @property
    def log(self) -> str:
        return "\n".join(self.lines)

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit code, when all of its output has been read (its node's, too)."""
        code = ended(self.process)
        why = Pulse(os.getpid()).wait(lambda: not self._reader.is_alive(), LOOK_S)
        assert why is None, "a node has outlived its parent"
        return code

    def stop(self) -> None:
        self.signal()
        assert self.wait() == 0, self.log

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()  # the node goes with it
        self.process.wait()
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
