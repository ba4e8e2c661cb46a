"""The peers: their virtual environments, and runs of their adapters in them.

`.venv-peers/` is made when it is first needed. Versions are pinned, so that a figure is one of a version that
everybody can have. A peer that can't be installed, or whose adapter fails, is reported as such; the others go on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ("MEMORY", "PEERS", "QUEUES", "Peer", "PeerFailed", "run")

FOLDER = Path(__file__).parents[2] / ".venv-peers"
ADAPTERS = Path(__file__).parent / "peers"
INSTALL_S, RUN_S = 600, 300


class Peer(NamedTuple):
    package: str
    version: str
    adapter: str
    environment: str = "common"
    """Those that need other versions of the same package than the rest, or of Python, have one of their own."""
    python: str = ""
    """The version of CPython that it needs, "3.12"; "" for any that runs the benchmark."""

    @property
    def name(self) -> str:
        return f"{self.package} {self.version}"


MEMORY = (
    Peer("pykka", "4.5.0", "pykka_actor.py"),
    Peer("thespian", "4.0.1", "thespian_actor.py"),
    Peer("xoscar", "0.12.2", "xoscar_actor.py"),
    Peer("triotp", "0.2.1", "triotp_actor.py", "trio"),
    Peer("async-pykka", "0.1.4", "asyncpykka_actor.py", "python312", "3.12"),
    Peer("casty", "0.30.2", "casty_actor.py", "python312", "3.12"),
    Peer("larzactor", "0.1.0", "larzactor_actor.py", "python312", "3.12"),
    Peer("lapinbeam", "1.3.0", "lapinbeam_actor.py", "python312", "3.12"),
)
"""Actors in memory: adapters report `tell` and `ask`, a second."""

QUEUES = (
    Peer("huey", "3.5.4", "huey_queue.py"),
    Peer("persist-queue", "1.1.0", "persistqueue_queue.py"),
    Peer("litequeue", "0.9", "litequeue_queue.py"),
    Peer("dbos", "3.4.0", "dbos_queue.py"),
    Peer("localqueue", "1.4.1", "localqueue_queue.py", "python312", "3.12"),
    Peer("rotorcore", "0.0.2", "rotorcore_queue.py", "python312", "3.12"),
)
"""Durable queues: adapters report messages/s end to end, `one` by one and, where batches are offered, in a `batch`."""

PEERS = MEMORY + QUEUES


class PeerFailed(Exception):
    """A peer can't be measured."""


def run(
    peer: Peer, folder: Path, *, tells: int, asks: int, messages: int, python: str | None = None
) -> dict[str, float]:
    """The rates that the adapter of a peer reports, in a process of its own.

    Args:
        folder: for its databases; a new one is made in there.
        python: of an environment that has the peer; by default the one under `.venv-peers/`, made if need be.

    Raises:
        PeerFailed
    """
    interpreter = python or str(installed(peer))
    folder.mkdir(parents=True, exist_ok=True)
    job = {
        "folder": tempfile.mkdtemp(dir=folder, prefix=peer.package),
        "tells": tells,
        "asks": asks,
        "messages": messages,
    }
    command = [interpreter, str(ADAPTERS / peer.adapter), json.dumps(job)]
    found: dict[str, float] = json.loads(_output(peer, command, RUN_S).splitlines()[-1])
    return found


def installed(peer: Peer) -> Path:
    """The Python of an environment that has the peer.

    Raises:
        PeerFailed: it can't be installed: no network, no wheel for this Python.
    """
    home = FOLDER / peer.environment
    python = home / "bin" / "python"
    stamp = home / f"installed-{peer.package}-{peer.version}"
    if not stamp.exists():
        if not python.exists() and peer.python:
            _output(peer, [_interpreter(peer), "-m", "venv", str(home)], INSTALL_S)
        elif not python.exists():
            venv.create(home, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _output(peer, [*install, f"{peer.package}=={peer.version}"], INSTALL_S)
        stamp.touch()
    return python


def _interpreter(peer: Peer) -> str:
    """The CPython of the version that a peer needs.

    Raises:
        PeerFailed: there is none on the path, nor under pyenv.
    """
    name = f"python{peer.python}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for candidate in (name, *map(str, pyenv.glob(f"{peer.python}*/bin/{name}"))):
        try:
            if subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
                return candidate
        except OSError:
            continue
    raise PeerFailed(f"{peer.name} takes CPython {peer.python}, and there is none here")


def _output(peer: Peer, command: Sequence[str], seconds: float) -> str:
    quiet = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_"))}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=quiet, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerFailed(f"{peer.name}: {error}") from None
    if done.returncode or not (done.stdout or {"pip", "venv"} & {*command}):
        why = done.stderr.strip().splitlines() or [f"it ended with code {done.returncode} and said nothing"]
        raise PeerFailed(f"{peer.name}: {why[-1]}")
    return done.stdout


if __name__ == "__main__":
    for each in PEERS:
        try:
            installed(each)
        except PeerFailed as failure:
            print(failure, file=sys.stderr)
