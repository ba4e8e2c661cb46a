"""The suite can find what it looks for: mutations.py breaks the rules one by one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from mutations import MUTATIONS, ROOT, lost, suite
from processes import program

MUTATE = (sys.executable, program("mutations.py"))


def test_every_mutation_still_has_its_place() -> None:
    assert not lost()
    for mutation in MUTATIONS:
        assert mutation.source != mutation.mutant


def test_every_mutation_names_tests_that_exist() -> None:
    known = suite()
    for mutation in MUTATIONS:
        assert mutation.tests, mutation.rule
        assert set(mutation.tests) <= set(known), mutation.rule
    rules = [mutation.rule for mutation in MUTATIONS]
    assert len(rules) == len(set(rules)) >= 30


@pytest.mark.process
def test_one_mutant_is_noticed() -> None:
    """The script works; `make torture` runs all of it."""
    run = subprocess.run([*MUTATE, "exactly as old"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "1 of 1 mutants were noticed" in run.stdout


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_every_mutant_is_noticed() -> None:
    run = subprocess.run(MUTATE, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ)
    assert run.returncode == 0, run.stdout
