"""A feature whose part of a turn is broken: the node ends with the error, and its stop waits for nothing."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from grounds import Ground, tree
from patience import patience

from greenroom import Actor, GreenroomError, Message, handler
from greenroom.actors.kernel.hooks import Participant
from greenroom.actors.kernel.turn import Turn


class Use(Message):
    pass


class Broken(Participant):
    rank: ClassVar[int] = 7

    def __init__(self, turn: Turn) -> None:
        self._turn = turn


class Raises(Broken):
    def prepare(self, inserts: list[Any], ahead: bool) -> int:
        raise ZeroDivisionError("a mistake of the feature")


class ReturnsNothing(Broken):
    def prepare(self, inserts: list[Any], ahead: bool) -> int:
        return None  # type: ignore[return-value]


class AppliesNothing(Broken):
    def apply(self) -> None:
        raise ZeroDivisionError("a mistake of the feature")


class User(Actor[None]):
    kind: ClassVar[type[Broken]]

    @handler
    def use(self, message: Use) -> None:
        self.turn.part(User.kind)


@pytest.mark.parametrize("kind", [Raises, ReturnsNothing, AppliesNothing])
async def test_the_node_ends(ground: Ground, kind: type[Broken]) -> None:
    User.kind = kind
    async with patience():
        async with ground.node(tree(User)) as system:
            system.ref("/t/user").tell(Use())
            with pytest.raises(GreenroomError, match=r"mistake|NoneType"):
                await system.idle()
    User.kind = Broken
    async with ground.node(tree(User)) as system:  # what the broken finish left is handled in the next life
        await system.idle()
