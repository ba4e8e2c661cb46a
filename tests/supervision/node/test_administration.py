"""Administration of a running node: actors that are told messages while it clears them."""

from __future__ import annotations

import msgspec
import pytest
from grounds import Ground, pool, tree

from greenroom import Actor, ActorSystem, GetState, Message, handler
from greenroom.persistence.store.rows import ActorRow, MessageRow
from greenroom.supervision.errors import AdministrationFailed

STATIC, DYNAMIC = "/t/static", "/t/pool/a"


class Add(Message):
    number: int


class Numbers(msgspec.Struct):
    found: list[int] = []


class Sum(Actor[Numbers]):
    @handler
    def add(self, message: Add) -> None:
        self.state.found.append(message.number)


async def numbers(system: ActorSystem, address: str) -> list[int]:
    found: list[int] = (await system.ref(address).ask(GetState()))["found"]
    return found


@pytest.mark.parametrize("address", [STATIC, DYNAMIC])
@pytest.mark.parametrize("command", ["reset", "retire"])
async def test_told_meanwhile(ground: Ground, monkeypatch: pytest.MonkeyPatch, command: str, address: str) -> None:
    """The message is for the next incarnation, which has nothing of the old state."""
    spec = tree(("static", Sum), pool(Sum))
    async with ground.node(spec) as system:
        await system.ref(address).tell(Add(number=1))
        await system.idle()
        commits = system.kernel.commits
        flush = commits.flush

        async def told_meanwhile() -> None:
            monkeypatch.undo()
            await flush()
            await system.ref(address).tell(Add(number=2))
            await system.idle()  # an incarnation that began now would be done with the message

        monkeypatch.setattr(commits, "flush", told_meanwhile)
        await system.inbox._administer(f"actors.{command}", address, b"null")  # type: ignore[union-attr]
        await system.idle()
        assert await numbers(system, address) == [2]
    assert not ground.rows(MessageRow)
    async with ground.node(spec) as system:
        assert await numbers(system, address) == [2]


@pytest.mark.parametrize("command", ["reset", "retire"])
async def test_an_address_under_a_template_at_which_nothing_was_ever(ground: Ground, command: str) -> None:
    async with ground.node(tree(("static", Sum), pool(Sum))) as system:
        with pytest.raises(AdministrationFailed, match=r"nothing is stored of /t/pool/typo, and it doesn't run"):
            await system.inbox._administer(f"actors.{command}", "/t/pool/typo", b"null")  # type: ignore[union-attr]
        await system.ref(DYNAMIC).tell(Add(number=1), delay_s=1000)  # mail alone is something
        await system.inbox._administer(f"actors.{command}", DYNAMIC, b"null")  # type: ignore[union-attr]
    left = [row.address for row in ground.rows(MessageRow)]
    assert left == ([DYNAMIC] if command == "reset" else [])


class Moody(Sum):
    """It starts once."""

    starts = 0

    async def on_start(self) -> None:
        Moody.starts += 1
        if Moody.starts > 1:
            raise ConnectionError("not again")


@pytest.mark.parametrize("busy", [False, True])
async def test_one_that_does_not_start_again(ground: Ground, busy: bool) -> None:
    """The text says whether its state is gone."""
    Moody.starts = 0
    async with ground.node(tree(("static", Moody))) as system:
        await system.ref(STATIC).tell(Add(number=1))
        await system.idle()
        if busy:
            system.ref(STATIC).tell(Add(number=2))
        with pytest.raises(AdministrationFailed) as caught:
            await system.inbox._administer("actors.reset", STATIC, b"null")  # type: ignore[union-attr]
        text = str(caught.value)
    was = "/t/static is busy with a message, so nothing was changed" if busy else "/t/static was cleared"
    assert text.startswith(f"{was}; and now it doesn't start: ConnectionError: not again. Mend that, then: greenroom")
    assert ("[1" in "".join(row.state for row in ground.rows(ActorRow))) is busy


@pytest.mark.parametrize("address", [STATIC, DYNAMIC])
@pytest.mark.parametrize("command", ["reset", "retire"])
async def test_an_actor_that_is_busy_goes_on(ground: Ground, command: str, address: str) -> None:
    async with ground.node(tree(("static", Sum), pool(Sum))) as system:
        await system.ref(address).tell(Add(number=1))
        await system.idle()
        system.ref(address).tell(Add(number=2))
        with pytest.raises(AdministrationFailed, match="busy"):
            await system.inbox._administer(f"actors.{command}", address, b"null")  # type: ignore[union-attr]
        await system.idle()
        assert await numbers(system, address) == [1, 2]
