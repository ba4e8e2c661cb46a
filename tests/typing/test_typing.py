"""The public surface under mypy --strict and pyright, by the samples in tests/typing/."""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "tests" / "typing"
FILES = ("accepted.py", "refused.py")

pytestmark = pytest.mark.timeout(300)


def expected(file: str) -> set[int]:
    lines = (SAMPLES / file).read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# error")}


@functools.cache
def mypy() -> dict[str, dict[int, str]]:
    pytest.importorskip("mypy")
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "", "--strict", "--python-version", "3.11",
         "--follow-imports", "silent", "--no-error-summary", *FILES],
        cwd=SAMPLES, env={**os.environ, "MYPYPATH": str(ROOT / ".src")}, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode in (0, 1), run.stdout + run.stderr
    found: dict[str, dict[int, str]] = {file: {} for file in FILES}
    for match in re.finditer(r"^([\w.]+):(\d+): error: (.*)$", run.stdout, re.MULTILINE):
        found[match[1]].setdefault(int(match[2]), match[3])
    return found


@functools.cache
def pyright() -> dict[str, dict[int, str]]:
    pytest.importorskip("pyright")
    config = {
        "include": ["."],
        "extraPaths": [str(ROOT / ".src")],
        "pythonVersion": "3.11",
        "typeCheckingMode": "standard",
    }
    with tempfile.TemporaryDirectory() as folder:  # its config speaks for the files beside it only
        for file in FILES:
            shutil.copy(SAMPLES / file, folder)
        (Path(folder) / "pyrightconfig.json").write_text(json.dumps(config))
        run = subprocess.run(
            [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson", "-p", folder],
            capture_output=True, text=True,
        )  # fmt: skip
    assert run.returncode in (0, 1), run.stdout + run.stderr
    report = json.loads(run.stdout[run.stdout.index("{") :])
    assert report["summary"]["filesAnalyzed"] == len(FILES), report["summary"]
    found: dict[str, dict[int, str]] = {file: {} for file in FILES}
    for problem in report["generalDiagnostics"]:
        if problem["severity"] == "error":
            found[Path(problem["file"]).name][problem["range"]["start"]["line"] + 1] = problem["message"]
    return found


CHECKERS = {"mypy": mypy, "pyright": pyright}


@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize("file", FILES)
def test_a_sample(checker: str, file: str) -> None:
    found, wanted = CHECKERS[checker]()[file], expected(file)
    missed = sorted(wanted - set(found))
    unwanted = {line: message for line, message in found.items() if line not in wanted}
    assert not unwanted, f"{checker} refuses what users write: {unwanted}"
    assert not missed, f"{checker} accepts what is wrong in lines {missed} of {file}"


def test_the_samples_have_something_to_find() -> None:
    assert not expected("accepted.py")
    assert len(expected("refused.py")) > 15
