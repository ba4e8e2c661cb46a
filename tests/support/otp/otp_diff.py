"""Compare scenarios on OTP's supervisor and on ours: `make otp-diff`.

    python tests/support/otp/otp_diff.py [--count 2000] [--seed 0]

A difference that docs/otp-conformance.md names is counted under its name; any other is shown, cut down to as few
actions as show it, and ends the run with 1.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SUPPORT = Path(__file__).resolve().parents[1]
sys.path += [str(path) for path in (SUPPORT, *SUPPORT.iterdir()) if path.is_dir()]

from otp_judge import Difference, canonical, name_of, side_by_side  # noqa: E402
from otp_ours import run  # noqa: E402
from otp_peer import Peer, erlang, peer  # noqa: E402
from otp_scenario import Scenario, make  # noqa: E402

__all__ = ("Findings", "compare", "explore")


class Findings:
    def __init__(self) -> None:
        self.scenarios = 0
        self.actions = 0
        self.named: Counter[str] = Counter()
        self.unnamed: list[Difference] = []


async def compare(otp: Peer, scenario: Scenario) -> Difference | None:
    """The first difference there is."""
    log = otp.run(scenario)
    theirs = canonical(scenario, log)
    ours = canonical(scenario, await run(scenario))
    for place, (one, other) in enumerate(zip(theirs, ours, strict=True)):
        if one != other and not side_by_side(scenario, place, log, one, other):
            return Difference(scenario, place, one, other, log)
        if one[2][0] == "dead":
            break
    return None


async def explore(otp: Peer, seeds: range, *, shows: int = 10) -> Findings:
    findings = Findings()
    for seed in seeds:
        scenario = make(seed)
        findings.scenarios += 1
        findings.actions += len(scenario.actions)
        found = await compare(otp, scenario)
        if found is None:
            continue
        name = name_of(found)
        if name is not None:
            findings.named[name] += 1
            continue
        findings.unnamed.append(await smallest(otp, found) if len(findings.unnamed) < shows else found)
    return findings


async def smallest(otp: Peer, found: Difference) -> Difference:
    """The same difference, or another one that isn't named, with fewer actions and plans."""
    shrunk = True
    while shrunk:
        shrunk = False
        for less in _less(found):
            other = await compare(otp, less)
            if other is not None and name_of(other) is None:
                found, shrunk = other, True
                break
    return found


def _less(found: Difference) -> Iterator[Scenario]:
    tree, plans, actions = found.scenario
    if len(actions) > found.place:
        yield Scenario(tree, plans, actions[: found.place])
    for place in range(len(actions)):
        yield Scenario(tree, plans, actions[:place] + actions[place + 1 :])
    for place in range(len(plans)):
        yield Scenario(tree, plans[:place] + plans[place + 1 :], actions)
    for less in _less_tree(tree):
        yield Scenario(less, plans, actions)


def _less_tree(node: Any) -> Iterator[Any]:
    if node[0] == "worker":
        return
    children = node[9]
    for place, child in enumerate(children):
        yield (*node[:9], children[:place] + children[place + 1 :])
        for less in _less_tree(child):
            yield (*node[:9], [*children[:place], less, *children[place + 1 :]])


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    if not erlang():
        print("there is no Erlang here (erl, erlc): nothing was compared")
        return 0
    from loguru import logger

    logger.remove()
    with tempfile.TemporaryDirectory() as folder, peer(Path(folder)) as otp:
        findings = asyncio.run(explore(otp, range(options.seed, options.seed + options.count)))
    print(f"{findings.scenarios} scenarios, {findings.actions} actions")
    for name, count in findings.named.most_common():
        print(f"{count:6} {name}")
    print(f"{len(findings.unnamed):6} differences that no page names")
    for found in findings.unnamed[:10]:
        print(found)
    return 1 if findings.unnamed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
