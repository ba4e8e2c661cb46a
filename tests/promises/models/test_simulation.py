"""The whole node under simulation: a thousand things going on at once, crashes anywhere, a store that fails.

`GREENROOM_SEED=4711 pytest tests/promises/models/test_simulation.py -k seed` runs one seed alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from processes import environment
from simulated_bugs import BUGS
from simulated_world import PARTS, Seed
from tallies import Tally

from greenroom.supervision.simulation.simulate import SEED_VARIABLE
from greenroom.testing import Hazards, Outcome, Simulation, SimulationFailed

SEEDS = 180
MANY, CHUNK = 10_000, 250
FOUND_WITHIN = 1_000
QUICK = ("reply before commit", "key row not written", "failure keeps the live object", "no fence of epochs")

FOUND = {
    17: "a store that failed at the boot was a CancelledError of nobody's",
    18: "a message told to an actor as it retired waited for the next boot",
    40: "a read that failed in a recovery ended the node",
    47: "a zombie's cell stood in the ready queue twice",
    187: "a commit that was in flight when a read failed landed, and its tellers were told it was dropped",
    315: "who waited for a reply was told that his data were refused, and they were another's",
    523: "a boot went on beside the recovery of its store",
    3637: "an actor that served a request while a suspect of its own ran alone was never scheduled again",
    1200: "what was queued behind a batch that a waiter couldn't commit was committed before it",
    6123: "who stood behind a message that couldn't be read for its solo run was handled without it",
    5461: "a store that failed while a suspect's `on_stop` waited ended the boot with a CancelledError of nobody's",
}
"""Seeds that have found something; what they do now may be something else, since the node has changed."""


def run(seed: int) -> Outcome:
    refuses = seed % 3 == 0
    world = Seed(seed, refuses=refuses)
    hazards = Hazards(refusals=int(refuses))
    return Simulation(world.tree, world.workload, world.invariant, hazards=hazards).run(seed)


def run_all(seeds: range, tally: Tally) -> None:
    only = os.environ.get(SEED_VARIABLE)
    outcomes = [run(seed) for seed in (seeds if only is None else [int(only)])]
    tally("seeds", len(outcomes))
    tally("kills", sum(outcome.lives - 2 for outcome in outcomes if outcome.lives > 2))
    tally("faults", sum(outcome.faults for outcome in outcomes))
    tally("messages lost", 0)
    tally("messages doubled", 0)


@pytest.mark.parametrize("begin", range(0, SEEDS, 60))
def test_seeds(begin: int, tally: Tally) -> None:
    run_all(range(begin, begin + 60), tally)


@pytest.mark.parametrize("seed", FOUND)
def test_a_seed_that_has_found_something(seed: int, tally: Tally) -> None:
    run_all(range(seed, seed + 1), tally)


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("begin", range(0, MANY, CHUNK))
def test_ten_thousand_seeds(begin: int, tally: Tally) -> None:
    run_all(range(begin, begin + CHUNK), tally)


@pytest.mark.parametrize("kind", PARTS)
def test_each_part_alone(kind: type) -> None:
    """Nothing hides behind the others."""
    for seed in range(5):
        world = Seed(seed, (kind,))
        assert Simulation(world.tree, world.workload, world.invariant).run(seed).commits


# -- the same seed, the same run ---------------------------------------------------------------------------------


TRACED = range(6)


def traces(environ: dict[str, str], folder: Path = Path(__file__).parent) -> str:
    """The traces of some seeds, by a process of its own."""
    here = f"import sys; sys.path.append({str(folder)!r})"
    code = f"{here}; from test_simulation import run; print([run(seed).trace for seed in {TRACED}])"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    assert not done.stderr
    return done.stdout


@pytest.mark.process
def test_a_seed_is_the_same_whatever_python_hashes_with() -> None:
    first = traces(environment(PYTHONHASHSEED="1"))
    assert first == traces(environment(PYTHONHASHSEED="2"))
    assert first == f"{[run(seed).trace for seed in TRACED]}\n"


@pytest.mark.process
def test_a_seed_is_the_same_in_every_checkout(tmp_path: Path) -> None:
    """Tracebacks name the files of their code, and messages and dead letters have tracebacks."""
    root = Path(__file__).parents[3]
    for name in (".src", "actors", "persistence", "supervision", "tests"):
        skipped = shutil.ignore_patterns("__pycache__", ".*_cache")
        shutil.copytree(root / name, tmp_path / name, symlinks=True, ignore=skipped)
    environ = environment({**os.environ, "PYTHONPATH": str(root / ".src")})
    environ["PYTHONPATH"] = environ["PYTHONPATH"].replace(str(root), str(tmp_path))
    there = tmp_path / Path(__file__).parent.relative_to(root)
    assert traces(environ, there) == f"{[run(seed).trace for seed in TRACED]}\n"


# -- bugs that it has to find --------------------------------------------------------------------------------------


def seed_that_finds(name: str, patch: pytest.MonkeyPatch) -> int:
    BUGS[name](patch)
    for seed in range(FOUND_WITHIN):
        try:
            run(seed)
        except SimulationFailed as failure:
            assert failure.seed == seed
            return seed
    pytest.fail(f"not found by {FOUND_WITHIN} seeds: {name}")


@pytest.mark.parametrize("name", QUICK)
def test_a_planted_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seed_that_finds(name, monkeypatch)


@pytest.mark.torture
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", BUGS)
def test_every_planted_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch, tally: Tally) -> None:
    tally("planted bugs found", 1)
    print(f"{name}: seed {seed_that_finds(name, monkeypatch)}")
