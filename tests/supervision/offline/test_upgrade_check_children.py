"""The findings of `check --against` on children that the config file doesn't name, and of dead letters."""

from __future__ import annotations

from grounds import Ground, tree
from upgrade_checks import TREE, Put, Shelf, Sign, brief, checked, letter, message, put, state, tell

from greenroom import ChildSpec, StartChild, SupervisorSpec, TerminateChild
from greenroom.persistence.store.rows import DeadLetterRow


async def test_children_that_came_at_run_time_are_known(ground: Ground) -> None:
    branch = SupervisorSpec(id="branch", strategy="dynamic", template=ChildSpec(id="x", actor=Shelf))
    async with ground.node(TREE) as system:
        guests = system.ref("/t/guests")
        for name in ("a", "b", "gone"):
            await guests.ask(StartChild(spec=ChildSpec(id=name, actor=Shelf)))
        await system.ref("/t").ask(StartChild(spec=branch))
        top = SupervisorSpec(id="top", children=[ChildSpec(id="leaf", actor=Shelf)])
        await system.ref("/t").ask(StartChild(spec=top))
        for address in ("/t/guests/a", "/t/guests/gone", "/t/branch/x", "/t/top/leaf"):
            await system.ref(address).tell(Put(amount=1))
        await system.idle()
        await guests.ask(TerminateChild(id="gone"))  # of a dynamic supervisor: it goes, its state stays
    await put(
        ground, message(100, "/t/branch/y", "Odd"), message(101, "/t/guests/gone"), message(102, "/t/top/leaf", "Odd")
    )
    report = await checked(ground)
    assert brief(report) == [("/t/branch/y", "message", 1), ("/t/top/leaf", "message", 1)]
    assert [(found.address, found.what) for found in report.remarks] == [
        ("/t/guests/gone", "state"),
        ("/t/guests/gone", "message"),
    ]
    assert "no child of that id has been started" in report.remarks[0].why


async def test_children_that_left_the_file_are_no_problem(ground: Ground) -> None:
    """They stay, stopped: nobody tries to read them, and nothing of theirs is lost."""
    async with ground.node(TREE) as system:
        for address in ("/t/one", "/t/pool/a", "/t/pool/b"):
            await system.ref(address).tell(Put(amount=1))
            await system.ref(address).tell(Put(amount=1), delay_s=3600)
        await system.idle()
    smaller = tree(("sign", Sign))
    for _ in range(2):  # before a start of the new tree, and after it
        report = await checked(ground, smaller)
        assert report.problems == []
        assert [(found.address, found.what, found.count) for found in report.remarks] == [
            ("/t/one", "state", 1),
            ("/t/pool/*", "state", 2),
            ("/t/one", "message", 1),
            ("/t/pool/*", "message", 2),
        ]
        assert report.remarks[0].fix == "`greenroom check --diff` shows it"
        async with ground.node(smaller) as system:
            await system.idle()


async def test_an_actor_that_is_in_memory_now_leaves_its_state(ground: Ground) -> None:
    await put(ground, state("/t/light"))
    (remark,) = (await checked(ground)).remarks
    assert "isn't durable any more" in remark.why


async def test_dead_letters_that_could_not_be_requeued_are_a_remark(ground: Ground) -> None:
    await put(ground, letter(1, "/t/one"), letter(2, "/t/one", "Odd"), letter(3, "/t/one", "Odd"), letter(4, "/t/none"))
    await put(ground, letter(5, "/t/one"))
    ground.edit(DeadLetterRow, 5, text="changed")
    report = await checked(ground)
    assert report.problems == []
    assert [(found.address, found.what, found.count, found.example) for found in report.remarks] == [
        ("/t/one", "dead letter", 2, "2"),
        ("/t/none", "dead letter", 1, "4"),
        ("/t/one", "dead letter", 1, "5"),
    ]


async def test_asks_in_the_inbox_are_nobodys_loss(ground: Ground) -> None:
    await put(ground, tell(1, "/t/one", "Odd", "ask"), tell(2, "/t/one", "actors.live", "admin"))
    assert (await checked(ground)).problems == []
