"""Break the supervisor's rules one by one, in a copy, and see that the suite notices each.

    python tests/support/conformance/mutations.py [WORD ...]     (those whose rule has a WORD in it; all by default)

Each mutation names the tests that guard its rule, and every one of them has to fail. Exits 1 if one doesn't, or if a
source text isn't found exactly once any more.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[3]
SUITE = Path("tests/conformance/supervisor")
COPIED = (".src", "actors", "persistence", "supervision", str(SUITE), "tests/support")
FILES = ("pyproject.toml", "tests/conftest.py")
TEST_TIMEOUT_S = 30
"""A mutant may hang."""
RUN_TIMEOUT_S = 600
OPTIONS = ("-q", "--tb=no", "-rfE", "--show-capture=no", "-p", "no:cacheprovider", f"--timeout={TEST_TIMEOUT_S}")
FAILED = re.compile(r"^(?:FAILED|ERROR) \S*?::(\w+)", re.MULTILINE)
TEST = re.compile(r"^(?:async )?def (test_\w+)", re.MULTILINE)


class Mutation(NamedTuple):
    rule: str
    """The promise that holds, and doesn't in the mutant."""
    file: str
    source: str
    """Found exactly once."""
    mutant: str
    tests: tuple[str, ...]
    """Each of them notices."""


SUPERVISOR = "supervision/supervisor/supervisor.py"
CHILDREN = "supervision/supervisor/children.py"
RESTARTS = "supervision/supervisor/restarts.py"
INTENSITY = "supervision/supervisor/intensity.py"
SPEC = "supervision/spec/spec.py"
TREE = "supervision/supervisor/tree.py"
RULES = "supervision/spec/validation.py"

MUTATIONS = (
    Mutation(
        "one more than the intensity is too many",
        INTENSITY,
        "return len(entries) > self.limit",
        "return len(entries) > self.limit + 1",
        ("test_one_for_one", "test_one_for_all", "test_rest_for_one", "test_simple_one_for_one", "test_intensity_zero"),
    ),
    Mutation(
        "the intensity bears so many",
        INTENSITY,
        "return len(entries) > self.limit",
        "return len(entries) >= self.limit",
        ("test_one_for_one", "test_multiple_restarts", "test_one_for_one_escalation"),
    ),
    Mutation(
        "an entry exactly as old as the period counts",
        INTENSITY,
        "entries[0] < now - self.period_s",
        "entries[0] <= now - self.period_s",
        ("test_intensity_boundary",),
    ),
    Mutation(
        "entries older than the period are dropped",
        INTENSITY,
        "            entries.popleft()\n",
        "            break\n",
        ("test_multiple_restarts", "test_intensity_boundary", "test_intensity_slides"),
    ),
    Mutation(
        "a permanent child is always restarted",
        SUPERVISOR,
        'if spec.restart == "permanent" or (',
        'if (spec.restart == "permanent" and reason.kind != "normal") or (',
        ("test_permanent_normal", "test_intensity_zero"),
    ),
    Mutation(
        "a transient child is restarted when it was killed",
        SUPERVISOR,
        '(spec.restart == "transient" and reason.kind in ("error", "killed"))',
        '(spec.restart == "transient" and reason.kind == "error")',
        ("test_transient_abnormal", "test_significant_transient"),
    ),
    Mutation(
        "a transient child isn't restarted after shutdown",
        SUPERVISOR,
        '(spec.restart == "transient" and reason.kind in ("error", "killed"))',
        '(spec.restart == "transient" and reason.kind != "normal")',
        ("test_transient_shutdown", "test_escalation_is_shutdown"),
    ),
    Mutation(
        "a temporary child's spec goes with its end",
        SUPERVISOR,
        '        if spec.restart == "temporary" or self.spec.strategy == "dynamic":\n',
        '        if self.spec.strategy == "dynamic":\n',
        (
            "test_temporary_normal",
            "test_temporary_shutdown",
            "test_temporary_abnormal",
            "test_do_not_save_child_specs_for_temporary_children",
        ),
    ),
    Mutation(
        "a temporary bystander isn't restarted",
        RESTARTS,
        'if cast(Spec, other.spec).restart == "temporary":  # OTP: killed',
        "if False:  # OTP: killed",
        ("test_temporary_bystander", "test_significant_bystander_temporary"),
    ),
    Mutation(
        "an exit that was dealt with isn't dealt with again",
        SUPERVISOR,
        "if child is None or child.status is not DOWN or child.last_exit != signal.incarnation:",
        "if child is None:",
        ("test_exits_while_the_supervisor_is_busy",),
    ),
    Mutation(
        "one_for_all concerns all",
        RESTARTS,
        'if strategy == "one_for_all":',
        "if False:",
        ("test_one_for_all", "test_tree"),
    ),
    Mutation(
        "rest_for_one leaves those before alone",
        RESTARTS,
        "return list(children[children.index(exited) :])",
        "return list(children)",
        ("test_rest_for_one", "test_order_of_children", "test_hanging_restart_loop_rest_for_one"),
    ),
    Mutation(
        "a group is stopped in reverse",
        RESTARTS,
        "for other in reversed(group):",
        "for other in list(group):",
        ("test_one_for_all", "test_order_of_children", "test_temporary_bystander"),
    ),
    Mutation(
        "a supervisor stops its children in reverse",
        CHILDREN,
        "for child in reversed(children):",
        "for child in list(children):",
        ("test_sup_start_normal", "test_order_of_children", "test_sup_start_fail"),
    ),
    Mutation(
        "dynamic children stop side by side",
        CHILDREN,
        "            await asyncio.gather(*map(self.stop, running))\n            return\n",
        "            pass\n",
        ("test_simple_one_for_one_shutdown", "test_sup_stop_timeout_dynamic"),
    ),
    Mutation(
        "brutal_kill gives no time",
        SPEC,
        "        return 0.0\n",
        "        return 5.0\n",
        ("test_sup_stop_brutal_kill", "test_sup_stop_brutal_kill_dynamic"),
    ),
    Mutation(
        "infinity waits",
        SPEC,
        "        return None\n    if",
        "        return 5.0\n    if",
        ("test_sup_stop_infinity",),
    ),
    Mutation(
        "a start that fails stops the started ones",
        SUPERVISOR,
        "                    await children.stop_in_reverse(children.all())\n                    raise\n",
        "                    raise\n",
        ("test_sup_start_fail", "test_sup_start_fail_in_init", "test_faulty_application_shutdown"),
    ),
    Mutation(
        "a retry is of the group: one_for_all of all, rest_for_one from the failed child on",
        RESTARTS,
        "group = concerned(strategy, children.all(), child)  # with",
        "group = [child]  # with",
        (
            "test_one_for_all_other_child_fails_restart",
            "test_one_for_all_escalation",
            "test_rest_for_one_other_child_fails_restart",
            "test_hanging_restart_loop_new_child",
        ),
    ),
    Mutation(
        "a failed start is charged",
        RESTARTS,
        "self._retry(child, charged=True",
        "self._retry(child, charged=False",
        ("test_failed_restart_that_comes_to_succeed", "test_retries_go_on_over_other_exits"),
    ),
    Mutation(
        "a failed start is retried by a message, so that administration works in between",
        RESTARTS,
        "            kernel.router.post(cell, message, urgent=False)\n            return\n",
        "            kernel.router.post(cell, message, urgent=True)\n            return\n",
        ("test_hanging_restart_loop",),
    ),
    Mutation(
        "under strict each attempt of a message is charged",
        SUPERVISOR,
        "charged=signal.attempt <= 1 or self.spec.strict",
        "charged=signal.attempt <= 1",
        ("test_attempts_of_one_message",),
    ),
    Mutation(
        "a supervisor gives up with shutdown",
        RESTARTS,
        'self._stop(ExitReason(kind="shutdown", text=text',
        'self._stop(ExitReason(kind="error", text=text',
        ("test_escalation_is_shutdown", "test_one_for_one"),
    ),
    Mutation(
        "a temporary or dynamic child that ignores its start is dropped",
        CHILDREN,
        'if self.spec.strategy == "dynamic" or (cast(Spec, child.spec).restart == "temporary" and not keep):',
        "if False:",
        (
            "test_sup_start_ignore_temporary_child",
            "test_sup_start_ignore_temporary_child_start_child",
            "test_sup_start_ignore_permanent_child_start_child_simple",
            "test_simple_one_for_one_restart_ignore",
        ),
    ),
    Mutation(
        "all_significant waits for the last one",
        SUPERVISOR,
        'if self.spec.auto_shutdown == "all_significant":',
        "if False:",
        (
            "test_significant_temporary_all",
            "test_significant_transient_all",
            "test_significant_upgrade_never_all",
            "test_significant_upgrade_any_all",
        ),
    ),
    Mutation(
        "only significant children shut their supervisor down",
        SUPERVISOR,
        "if not spec.significant or self.spec.auto_shutdown",
        "if self.spec.auto_shutdown",
        ("test_nonsignificant_temporary", "test_nonsignificant_transient", "test_significant_escalation"),
    ),
    Mutation(
        "a termination by administration doesn't shut the supervisor down",
        SUPERVISOR,
        "            await self.children.stop(child, then=STOPPED)\n",
        "            await self.children.stop(child, then=STOPPED)\n            self._after_end(child.spec)\n",
        ("test_significant_temporary", "test_significant_transient"),
    ),
    Mutation(
        "significant goes with auto_shutdown alone",
        RULES,
        'elif parent.auto_shutdown == "never":',
        "elif False:",
        ("test_child_specs_map", "test_significant_upgrade_any_never", "test_significant_upgrade_child"),
    ),
    Mutation(
        "the last started child comes first in which_children",
        SUPERVISOR,
        "for child in reversed(self.children.all())]",
        "for child in self.children.all()]",
        ("test_which_children", "test_child_adm_simple", "test_code_change_map"),
    ),
    Mutation(
        "a StartChild that fails stores nothing",
        SUPERVISOR,
        "        except StartFailed:\n            await children.delete(child)\n            raise\n",
        "        except StartFailed:\n            child.fence(STOPPED)\n            raise\n",
        ("test_sup_start_child_returns_error", "test_sup_start_child_returns_error_simple"),
    ),
    Mutation(
        "a child that is being restarted is present, not started",
        SUPERVISOR,
        "known.status in (STOPPED, PASSIVE, DOWN)",
        "known.status in (STOPPED, PASSIVE)",
        ("test_hanging_restart_loop", "test_hanging_restart_loop_rest_for_one"),
    ),
    Mutation(
        "terminate ends a restart loop",
        SUPERVISOR,
        "            tree.children.rest(child)  # it was about to be restarted\n",
        "            pass\n",
        ("test_hanging_restart_loop", "test_hanging_restart_loop_rest_for_one"),
    ),
    Mutation(
        "a changed restart type, shutdown and significance hold at once",
        TREE,
        "                running.respecify(msgspec.structs.replace(cast(Spec, running.spec), **at_once))\n",
        "",
        ("test_code_change_args", "test_significant_upgrade_child"),
    ),
)


def lost(root: Path = ROOT) -> list[str]:
    """The rules whose source text isn't found exactly once any more."""
    return [
        f"{mutation.rule}: {mutation.file} has it {count} times"
        for mutation in MUTATIONS
        if (count := (root / mutation.file).read_text().count(mutation.source)) != 1
    ]


def suite(root: Path = ROOT) -> dict[str, str]:
    """The tests of the suite: the node id of each name."""
    return {
        name: f"{SUITE / path.name}::{name}"
        for path in sorted((root / SUITE).glob("test_otp_*.py"))
        for name in TEST.findall(path.read_text())
    }


def copy_of_the_project(folder: Path) -> None:
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(folder / ".src"), "PYTHONDONTWRITEBYTECODE": "1"}


def failures(folder: Path, tests: set[str]) -> set[str]:
    """Which of these tests fail in the copy.

    Raises:
        RuntimeError: they couldn't be run.
        subprocess.TimeoutExpired: one of them hung for good.
    """
    where = suite()
    run = subprocess.run(
        (sys.executable, "-m", "pytest", *OPTIONS, *(where[test] for test in sorted(tests))),
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
    )
    if run.returncode not in (0, 1):
        raise RuntimeError(run.stdout[-2000:] + run.stderr[-2000:])
    return set(FAILED.findall(run.stdout))


def runs_the_copy(folder: Path) -> bool:
    code = "import greenroom.supervision.supervisor.supervisor as module, os; print(os.path.realpath(module.__file__))"
    found = subprocess.check_output([sys.executable, "-c", code], cwd=folder, env=environment(folder), text=True)
    return Path(found.strip()) == (folder / SUPERVISOR).resolve()


def main(words: list[str]) -> int:
    if problems := lost():
        print("\n".join(problems))
        return 1
    chosen = [mutation for mutation in MUTATIONS if not words or any(word in mutation.rule for word in words)]
    survived = 0
    with tempfile.TemporaryDirectory(prefix="mutations-") as name:
        folder = Path(name)
        copy_of_the_project(folder)
        if not runs_the_copy(folder):
            print("the copy isn't what Python imports: nothing was shown")
            return 1
        guards = {test for mutation in chosen for test in mutation.tests}
        if broken := failures(folder, guards):
            print(f"these fail without any mutation: {', '.join(sorted(broken))}")
            return 1
        for number, mutation in enumerate(chosen, 1):
            path = folder / mutation.file
            before = path.read_text()
            path.write_text(before.replace(mutation.source, mutation.mutant))
            try:
                noticed = failures(folder, set(mutation.tests))
            except subprocess.TimeoutExpired:
                noticed = set()  # it hung for good: that shows nothing
            finally:
                path.write_text(before)
            missed = sorted(set(mutation.tests) - noticed)
            survived += bool(missed)
            verdict = f"NOT NOTICED by {', '.join(missed)}" if missed else f"noticed by {', '.join(mutation.tests)}"
            print(f"{number:3} {mutation.rule}\n      {verdict}", flush=True)
    print(f"{len(chosen) - survived} of {len(chosen)} mutants were noticed")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
