"""Judge: what OTP and ours have to agree on in a scenario, and which differences docs/otp-conformance.md names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from otp_scenario import BRUTAL, Scenario, walk

__all__ = ("NAMED", "Difference", "canonical", "name_of", "side_by_side")


class Difference(NamedTuple):
    scenario: Scenario
    place: int
    """0 for the start, then one for each action, and one for the stop."""
    theirs: Any
    ours: Any
    log: list[Any]
    """All of OTP's, with the starts of supervisors ("*id") in the traces."""

    @property
    def action(self) -> Any:
        """What was done when they differed first."""
        actions = [("start",), *self.scenario.actions, ("stop",)]
        return actions[self.place]

    def __str__(self) -> str:
        scenario = self.scenario
        done = [f"  {number} {action}" for number, action in enumerate(scenario.actions[: self.place], 1)]
        lines = [f"  {scenario.tree}", f"  plans {scenario.plans}", *done, f"OTP:  {self.theirs}", f"ours: {self.ours}"]
        return "\n".join(lines)


# -- what is compared ---------------------------------------------------------------------------------------


def _dynamic(scenario: Scenario) -> set[str]:
    """The ids of dynamic supervisors."""
    trees = [scenario.tree, *(action[2] for action in _requests(scenario) if action[0] == "start")]
    return {node[1] for tree in trees for _, node in walk(tree) if node[0] == "dyn"}


def _requests(scenario: Scenario) -> Iterator[tuple[Any, ...]]:
    for action in scenario.actions:
        if action[0] == "during":
            yield from (request for tries in action[4] for request in tries)
        else:
            yield action


def canonical(scenario: Scenario, log: list[Any]) -> list[Any]:
    """What both sides have to agree on.

    The children of a dynamic supervisor, and all of a killed one, end side by side, so that their order is nobody's;
    with links, exits of several go their ways at the same time. A dynamic child that waits for its restart has no id. A
    worker that is to be killed brutally is so with its supervisor, too (OTP's is an ordinary process to that signal).
    """
    dyn = _dynamic(scenario)
    linked = _linked(scenario)
    loose = {node[1] for tree in _trees(scenario) for _, node in walk(tree) if node[0] == "worker"} & _below(
        dyn, scenario
    )
    brutal = {
        node[1] for tree in _trees(scenario) for _, node in walk(tree) if node[0] == "worker" and node[4] == BRUTAL
    }
    killing = any(node[0] != "worker" and node[8] == BRUTAL for tree in _trees(scenario) for _, node in walk(tree))
    silent = {f"-{id} killed" for id in brutal}
    found = []
    for place, (result, trace, state) in enumerate(log):
        if linked and place == len(log) - 1:
            trace = []  # named: at the node's end nothing is told over links
        events = [event for event in trace if event[0] != "*" and event not in silent]
        if killing:
            events = [event.replace("killed", "shutdown") for event in events]
        if linked or killing:
            events.sort()
        else:
            events = _in_groups(events, loose)
        found.append([_result(result), events, _state(state, dyn)])
    return found


def _linked(scenario: Scenario) -> bool:
    return any(action[0] == "link" for action in scenario.actions)


def _trees(scenario: Scenario) -> list[Any]:
    return [scenario.tree, *(request[2] for request in _requests(scenario) if request[0] == "start")]


def _below(dyn: set[str], scenario: Scenario) -> set[str]:
    return {request[2][1] for request in _requests(scenario) if request[0] == "start" and request[1] in dyn}


def _in_groups(events: list[str], loose: set[str]) -> list[str]:
    """Sort the ends of dynamic children that follow each other."""
    found: list[str] = []
    run: list[str] = []
    for event in [*events, ""]:
        if event[:1] == "-" and event[1:].split(" ")[0] in loose:
            run.append(event)
            continue
        found += [*sorted(run), event]
        run = []
    return found[:-1]


def _result(result: Any) -> Any:
    return (
        [sorted(map(str, one)) if isinstance(one, list) else one for one in result]
        if isinstance(result, list)
        else result
    )


def _state(state: Any, dyn: set[str]) -> Any:
    if state[0] == "dead":
        return state if state[1:] == ["shutdown"] else ["dead"]
    id, (specs, active, supervisors, workers), below = state
    if id in dyn:
        return [id, active, sorted(["?", child[1]] if child[1] == "restarting" else child for child in below)]
    children = [[*child[:2], _state(child[2], dyn)] if len(child) > 2 else child for child in below]
    return [id, [specs, active, supervisors, workers], children]


def side_by_side(scenario: Scenario, place: int, log: list[Any], theirs: Any, ours: Any) -> bool:
    """Whether two entries differ only in the order of what a restarted supervisor and the one above it did: requests
    that waited for the one are handled while the other goes on."""
    restarted = any(event[0] == "*" for event in log[place][1])
    action = scenario.actions[place - 1] if 0 < place <= len(scenario.actions) else ("",)
    if action[0] != "during" or not restarted:
        return False
    return bool([theirs[0], sorted(theirs[1]), theirs[2]] == [ours[0], sorted(ours[1]), ours[2]])


# -- differences that are named -----------------------------------------------------------------------------


def _answered_by_the_next(found: Difference) -> bool:
    """OTP's request goes with the process; ours is handled by the next incarnation. The supervisor has restarted."""
    action = found.action
    if action[0] != "during":
        return False
    asked = {request[1] for tries in action[4] for request in tries}
    restarted = {event[1:] for event in _starts_of_supervisors(found)}
    results = list(zip(found.theirs[0], found.ours[0], strict=True))
    lost = any(one == "noproc" != other for one, other in results)
    return bool(asked & restarted) and (lost or found.theirs[2] == found.ours[2])


def _starts_of_supervisors(found: Difference) -> list[str]:
    return [event for event in found.log[found.place][1] if event[0] == "*"]


def _kept_child_fails(found: Difference) -> bool:
    """A supervisor restarts, and a child that came by StartChild, or one below it, doesn't start again."""
    requests = [request for request in _requests(found.scenario) if request[0] == "start"]
    came = {node[1]: above for _, above, child in requests for _, node in walk(child)}
    events = {*found.log[found.place][1], *found.ours[1]}
    return any(f"!{one}" in events and f"*{above}" in events for one, above in came.items())


def _on_their_way(found: Difference) -> bool:
    """Exits go over links while the supervisor acts: which of several reasons a child ends for, and whether it is
    restarted before it ends or after, is a matter of moments. Each life ends once, and all come to the same."""
    if not _linked(found.scenario) or found.theirs[0] != found.ours[0] or found.theirs[2] != found.ours[2]:
        return False
    (starts, ends), (our_starts, our_ends) = map(_lives, (found.theirs[1], found.ours[1]))
    return all(our_ends[one] - ends[one] >= our_starts[one] - starts[one] for one in {*starts, *ends, *our_starts})


def _lives(trace: list[str]) -> tuple[Counter[str], Counter[str]]:
    """How often each worker has started, and has ended."""
    starts = Counter(event[1:] for event in trace if event[0] == "+")
    return starts, Counter(event[1:].split(" ")[0] for event in trace if event[0] == "-")


NAMED: dict[str, Callable[[Difference], bool]] = {
    "requests that wait at a supervisor which exits": _answered_by_the_next,
    "exits that are on their way over links": _on_their_way,
    "tree": _kept_child_fails,
}
"""Rows of docs/otp-conformance.md, by their first cell, and what such a difference looks like here."""


def name_of(found: Difference) -> str | None:
    """The row that names a difference."""
    return next((name for name, fits in NAMED.items() if fits(found)), None)
