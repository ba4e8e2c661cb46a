"""Scenarios: random trees of supervisors, and random things that happen to them. One is run by OTP and by ours.

A scenario is data that both sides read, so its terms are Erlang's: `term` writes them. A worker is

    ("worker", id, restart, significant, shutdown)

and a supervisor one of

    ("sup", id, strategy, intensity, period, auto_shutdown, restart, significant, shutdown, children)
    ("dyn", id, child_restart, intensity, period, child_shutdown, restart, significant, shutdown, [])
"""

from __future__ import annotations

from random import Random
from typing import Any, NamedTuple

__all__ = ("BRUTAL", "Scenario", "make", "named", "term", "walk")

Node = tuple[Any, ...]
PERIOD_S = 10
BRUTAL = "brutal_kill"
AGES = (6, 60)
"""Seconds that pass at once: less than the period, and more than it."""
HOW = ("error", "error", "error", "normal", "shutdown", "info", "kill")
STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")


class Scenario(NamedTuple):
    tree: Node
    plans: list[tuple[str, list[str]]]
    """What the starts of a worker do, in order; those after that succeed."""
    actions: list[tuple[Any, ...]]


def term(value: Any) -> str:
    """An Erlang term."""
    match value:
        case bool():
            return str(value).lower()
        case tuple():
            return "{" + ",".join(map(term, value)) + "}"
        case list():
            return "[" + ",".join(map(term, value)) + "]"
        case _:
            return str(value)


def walk(node: Node, above: str = "") -> list[tuple[str, Node]]:
    """All nodes of a tree with their addresses, from the top down."""
    address = f"{above}/{node[1]}"
    below = node[9] if node[0] != "worker" else []
    return [(address, node), *(found for child in below for found in walk(child, address))]


def named(scenario: Scenario) -> dict[str, str]:
    """The address of every id that the scenario names, those of its requests as well."""
    found = {node[1]: address for address, node in walk(scenario.tree)}
    requests = [
        request
        for action in scenario.actions
        for request in (action, *(one for tries in action[4:] for some in tries for one in some))
        if request[0] == "start"
    ]
    for _, above, child in requests:
        if above in found:
            found.update((node[1], address) for address, node in walk(child, found[above]))
    return found


class _Maker:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.links = random.random() < 0.25
        self.brutal = not self.links and random.random() < 0.2
        self.count = 0
        self.parents: dict[str, Node] = {}
        """The supervisor of each id."""
        self.children: dict[str, list[str]] = {}

    def fresh(self, letter: str) -> str:
        self.count += 1
        return f"{letter}{self.count}"

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    # -- trees ---------------------------------------------------------------------------------------------

    def worker(self, parent: Node | None, id: str = "") -> Node:
        shutdown = BRUTAL if self.chance(0.1) and not self.links else 5000
        if parent is not None and parent[0] == "dyn":
            return ("worker", id or self.fresh("w"), parent[2], False, parent[5])
        restart = self.random.choice(("permanent", "permanent", "transient", "temporary"))
        return ("worker", id or self.fresh("w"), restart, self.significant(parent, restart), shutdown)

    def significant(self, parent: Node | None, restart: str) -> bool:
        return parent is not None and parent[5] != "never" and restart != "permanent" and self.chance(0.5)

    def supervisor(self, parent: Node | None, depth: int) -> Node:
        top = parent is None
        intensity = self.random.randint(1, 5) if top else self.random.randint(0, 3)
        restart = "permanent" if top else self.random.choice(("permanent", "permanent", "transient", "temporary"))
        significant = self.significant(parent, restart)
        shutdown = "infinity" if top else self.random.choice(("infinity", 5000, BRUTAL if self.brutal else 5000))
        if not top and self.chance(0.25):
            kept = self.random.choice(("permanent", "transient", "temporary", "temporary"))
            seconds = self.random.choice((5000, 5000, BRUTAL))
            id = self.fresh("d")
            return self.known(("dyn", id, kept, intensity, PERIOD_S, seconds, restart, significant, shutdown, []))
        auto = "never"
        if not self.links:
            auto = self.random.choice(("never",) * 4 + ("any_significant", "all_significant"))
        strategy = self.random.choice(STRATEGIES)
        id = "root" if top else self.fresh("s")
        node: Node = ("sup", id, strategy, intensity, PERIOD_S, auto, restart, significant, shutdown, [])
        self.known(node)
        for _ in range(self.random.randint(2 if top else 0, 4 if top else 3)):
            self.adopt(node, self.child(node, depth + 1))
        return node

    def child(self, parent: Node, depth: int) -> Node:
        return self.supervisor(parent, depth) if depth < 3 and self.chance(0.35) else self.worker(parent)

    def known(self, node: Node) -> Node:
        self.children.setdefault(node[1], [])
        return node

    def adopt(self, parent: Node, child: Node) -> None:
        parent[9].append(child)
        self.belongs(parent, child)

    def belongs(self, parent: Node, child: Node) -> None:
        self.parents[child[1]] = parent
        if child[1] not in self.children[parent[1]]:
            self.children[parent[1]].append(child[1])

    # -- what happens --------------------------------------------------------------------------------------

    def plan(self, first: bool) -> list[str]:
        ends = ("ok", "fail", "fail", "ignore") if self.chance(0.3) else ("ok", "fail")
        plan = [self.random.choice(ends) for _ in range(self.random.randint(1, 4))]
        return ["ok", *plan] if first and self.chance(0.95) else plan

    def workers(self) -> list[str]:
        return [one for one in self.parents if one.startswith("w")]

    def supervisors(self) -> list[Node]:
        return list({id(parent): parent for parent in self.parents.values()}.values())

    def request(self, parent: Node | None = None) -> tuple[Any, ...]:
        parent = parent or self.random.choice(self.supervisors())
        above = parent[1]
        children = self.children[above]
        kind = self.random.choice(("start", "start", "terminate", "terminate", "restart", "delete", "which"))
        if kind == "which":
            return (kind, above, 0)
        if kind == "start":
            return (kind, above, self.newcomer(parent))
        id = self.random.choice(children) if children and self.chance(0.9) else "nobody"
        return (kind, above, id)

    def newcomer(self, parent: Node) -> Node:
        """The spec of a child to be started: a new one, or one with an id that there was or is."""
        old = [one for one in self.children[parent[1]] if one.startswith("w")]
        if parent[0] == "dyn" or not old or self.chance(0.6):
            if parent[0] == "sup" and self.chance(0.2):
                child = self.supervisor(parent, 2)
            else:
                child = self.worker(parent)
        else:
            child = self.worker(parent, self.random.choice(old))
        self.belongs(parent, child)
        return child

    def crash(self) -> tuple[str, str]:
        return (self.random.choice(self.workers()), self.random.choice(HOW))

    def action(self) -> tuple[Any, ...]:
        if not self.workers():
            return self.request()
        kind = self.random.choices(
            ("crash", "request", "during", "age", "plan", "link"),
            (40, 35, 0, 5, 0, 30) if self.links else (40, 35, 20, 5, 8, 0),
        )[0]
        if kind == "crash":
            return ("crash", *self.crash())
        if kind == "age":
            return ("age", self.random.choice(AGES))
        if kind == "plan":
            return ("plan", self.random.choice(self.workers()), self.plan(first=False))
        if kind == "link":
            near = [one for one in self.children[self.random.choice(self.supervisors())[1]] if one.startswith("w")]
            return ("link", *self.random.sample(near, 2)) if len(near) > 1 else self.request()
        if kind == "during":
            return self.during()
        return self.request()

    def during(self) -> tuple[Any, ...]:
        """A worker ends, and its supervisor is asked while the next start is held, so between two tries."""
        id, how = self.crash()
        parent = self.parents[id]
        near = [one for one in self.children[parent[1]] if one.startswith("w")]
        others = [(self.random.choice(near), self.random.choice(HOW))] if self.chance(0.3) else []
        tries = []
        for _ in range(self.random.randint(1, 3)):
            requests = [self.request(parent) for _ in range(self.random.randint(0, 2))]
            tries.append([one for one in requests if not (one[0] == "restart" and one[2] == id)])
        return ("during", id, how, [other for other in others if other[0] != id], tries)

    def scenario(self) -> Scenario:
        tree = self.supervisor(None, 0)
        plans = [(one, self.plan(first=True)) for one in self.workers() if not self.links and self.chance(0.35)]
        actions = [self.action() for _ in range(self.random.randint(3, 9))]
        return Scenario(tree, plans, actions)


def make(seed: int) -> Scenario:
    return _Maker(Random(seed)).scenario()
