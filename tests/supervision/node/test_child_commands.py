"""How long the command line waits for a child that is to be stopped."""

from __future__ import annotations

from typing import Any

import pytest
from grounds import MemoryGround, tree
from restart_actors import kids

from greenroom import SupervisorSpec
from greenroom.supervision.node.child_commands import ORDER_S, START_S, STOP_S_MAX, ChildCommands

GRACE_S = 1.0
"""Of each stop: a cancelled handler has so long to end."""

SPEC = tree(
    *kids("five"),
    *kids("minute", shutdown=60.0),
    *kids("brutal", shutdown="brutal_kill"),
    *kids("endless", shutdown="infinity"),
    SupervisorSpec(id="row", children=kids("a", "b", "c", shutdown=10.0)),
    SupervisorSpec(id="short", shutdown=7.0, children=kids("a", "b", "c", shutdown=10.0)),
    SupervisorSpec(id="nested", children=[SupervisorSpec(id="inner", children=kids("a", shutdown=3.0))]),
    SupervisorSpec(id="crew", strategy="dynamic"),
)


@pytest.mark.parametrize(
    ("address", "seconds"),
    [
        ("/t/five", 5.0 + GRACE_S),
        ("/t/minute", 60.0 + GRACE_S),
        ("/t/brutal", GRACE_S),
        ("/t/endless", STOP_S_MAX),
        ("/t/row", 3 * (10.0 + GRACE_S) + GRACE_S),
        ("/t/short", 7.0 + GRACE_S),
        ("/t/nested", 3.0 + 3 * GRACE_S),
        ("/t/crew", GRACE_S),
        ("/t/nobody", 0.0),
    ],
)
async def test_a_stop_has_the_shutdown_times_below_it(memory: MemoryGround, address: str, seconds: float) -> None:
    async with memory.node(SPEC) as system:
        activator: Any = system.kernel.activator
        commands = ChildCommands(system.kernel, activator)
        assert await commands.patience(address, "actors.stop") == seconds
        assert await commands.patience(address, "actors.start") == START_S + ORDER_S
        assert await commands.patience(address, "actors.restart") == seconds + START_S + ORDER_S
