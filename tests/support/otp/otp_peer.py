"""Peer: a real Erlang VM, which runs scenarios on OTP's supervisor (otp_driver.erl)."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from otp_scenario import Scenario, term

__all__ = ("Peer", "erlang", "peer")

DRIVER = Path(__file__).with_name("otp_driver.erl")


def erlang() -> bool:
    """Whether there is an Erlang to compare with."""
    return shutil.which("erl") is not None and shutil.which("erlc") is not None


class Peer:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, scenario: Scenario) -> list[Any]:
        """[result, trace, state] of the start, of each action and of the stop."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(term(tuple(scenario)) + ".\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the Erlang VM ended over {scenario}")
        found: list[Any] = json.loads(line)
        return found

    def run_all(self, scenarios: Sequence[Scenario]) -> list[list[Any]]:
        return [self.run(scenario) for scenario in scenarios]


@contextmanager
def peer(folder: Path) -> Iterator[Peer]:
    """An Erlang VM for many scenarios. It has one scheduler, so that its processes take turns."""
    subprocess.run(["erlc", "-o", str(folder), str(DRIVER)], check=True, timeout=120)
    command = ["erl", "+S", "1:1", "-noshell", "-pa", str(folder), "-s", "otp_driver", "main"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Peer(process)
        finally:
            process.kill()
