"""The programs that tests start as processes: their paths, and an environment in which they can import the helpers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

from pulse import ASLEEP_S_MAX, CPU_S_MAX, Pulse
from stacks import ask_for_stacks

__all__ = ("communicate", "ended", "environment", "program", "run")

SUPPORT = Path(__file__).parents[1]


def folders() -> list[Path]:
    """The folders that hold helpers. One with an `__init__.py` is a package: it is imported from the folder above."""
    found = (folder for folder in (SUPPORT, *SUPPORT.rglob("*")) if folder.is_dir() and folder.name != "__pycache__")
    return sorted(folder for folder in found if not (folder / "__init__.py").exists())


def environment(base: Mapping[str, str] = os.environ, **changes: str) -> dict[str, str]:
    """This environment, or the one of this process, so that every helper can be imported by name."""
    paths = [*map(str, folders()), *filter(None, [base.get("PYTHONPATH")])]
    return {**base, "PYTHONPATH": os.pathsep.join(paths), **changes}


def program(name: str) -> str:
    """The path of the helper with this file name."""
    (found,) = SUPPORT.rglob(name)
    return str(found)


def run(command: Sequence[str], *, check: bool = False, **options: Any) -> subprocess.CompletedProcess[str]:
    """The work of `subprocess.run` with `capture_output` and `text`, until the process ends or hangs.

    Raises:
        AssertionError: it hangs; the text has what it said.
        subprocess.CalledProcessError: its exit code isn't 0, and `check` is given.
    """
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    given = options.pop("input", None)
    if given is not None:
        options["stdin"] = subprocess.PIPE
    with subprocess.Popen(command, **options) as process:
        out, err = communicate(process, given)
    assert process.returncode is not None
    done = subprocess.CompletedProcess(command, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


def communicate(
    process: subprocess.Popen[str],
    given: str | None = None,
    *,
    asleep_s: float = ASLEEP_S_MAX,
    cpu_s: float = CPU_S_MAX,
) -> tuple[str, str]:
    """The output of a process until it ends.

    Raises:
        AssertionError: it hangs, and was killed; the text has what it said, with its stacks.
    """
    said: list[tuple[str, str]] = []
    reader = Thread(target=lambda: said.append(process.communicate(given)), daemon=True)
    reader.start()
    why = Pulse(process.pid, asleep_s=asleep_s, cpu_s=cpu_s).wait(lambda: not reader.is_alive())
    if why is not None:
        ask_for_stacks(process.pid)
        process.kill()
    reader.join()
    (result,) = said
    assert why is None, f"{process.args!r} hangs: {why}\n{result[0]}\n{result[1]}"
    return result


def ended(process: subprocess.Popen[Any], errors: Path | None = None) -> int:
    """The exit code of a process, when it has ended. Something else reads what it says.

    Args:
        errors: the file that is its stderr.

    Raises:
        AssertionError: it hangs, and was killed; its stacks are on its stderr.
    """
    if (why := Pulse(process.pid).wait(lambda: process.poll() is not None)) is not None:
        ask_for_stacks(process.pid)
        process.kill()
        process.wait()
        raise AssertionError(f"{process.args!r} hangs: {why}\n{errors.read_text() if errors else ''}")
    assert process.returncode is not None
    return process.returncode
