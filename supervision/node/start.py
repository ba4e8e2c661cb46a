"""Start: a node is a store, an actor system and a tree together."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager

from ...actors.delivery.guard import check_seconds
from ...actors.execution.start import start as start_cell
from ...actors.execution.user_code.containment import contained_exits
from ...actors.kernel.cell import Cell
from ...actors.kernel.errors import StartFailed
from ...actors.kernel.kernel import Kernel
from ...actors.kernel.settings import Settings
from ...actors.messages.aliases import Aliases
from ...actors.recovery.damage import report_loss
from ...actors.recovery.housekeeping import Housekeeping
from ...actors.recovery.reset import Reset
from ...actors.recovery.scan import Scan
from ...actors.recovery.watchdog import Watchdog
from ...actors.remote.inbox import Inbox
from ...actors.system import ActorSystem
from ...persistence.engines.open import open_store
from ...persistence.engines.urls import sqlite_url
from ...persistence.errors import StoreDataError, StoreUrlInvalid
from ...persistence.events import Event
from ...persistence.home import Home
from ...persistence.runtime import Runtime, uncancelled
from ...persistence.store.contract import Store
from ..config.load import load_config
from ..errors import ConfigError, Problem
from ..spec.aliases import with_aliases
from ..spec.resolution import check_tree
from ..spec.spec import ChildSpec, SupervisorSpec
from ..supervisor.supervisor import Supervisor
from ..supervisor.tree import Tree
from .administration import Administration
from .log import log_event

__all__ = ("start",)

DEFAULT_STORE = "memory://"


@asynccontextmanager
async def start(
    tree: SupervisorSpec | str | os.PathLike[str],
    *,
    store: str | Store | None = None,
    hang_s: float | None = None,
    settings: Settings | None = None,
    runtime: Runtime | None = None,
    on_event: Callable[[Event], object] = log_event,
) -> AsyncIterator[ActorSystem]:
    """Run a tree of actors for the length of an `async with` block.

        async with start(tree, store="sqlite:///bank.db") as system:
            await system.ref("/bank/accounts/alice").tell(Deposit(amount=5))

    The node takes up the states, mailboxes and attempts that the last run left. At the end of the block the tree stops
    in order, and everything is committed.

    Args:
        tree: a spec, or the path of a config file, which then names the store and the settings, too.
        store: a URL, or an open-able `Store`; by default the config file's, else `memory://`, which keeps nothing.
        hang_s: seconds for which the event loop may stand still before a watchdog ends the *process* and names the
            handler. None: no watchdog. (`greenroom run` sets one, because its parent process starts the node again.)
        settings: those of the actor system; by default the config file's, else `Settings()`.
        runtime: clock, randomness and scheduling.
        on_event: called with every event, from the boot on; by default it goes to the log (loguru).

    Raises:
        NoEventLoop: no event loop of asyncio runs here.
        ConfigError: the tree, or the file, has mistakes; all of them are listed.
        StoreLocked, SchemaTooNew, StoreCorrupt, StoreFull, StoreUnavailable: the store can't be had.
        CommitsLost: the store lacks commits that had been acknowledged.
        StartFailed: a child's start failed; what had started was stopped again.
    """
    home = Home()
    _check_arguments(tree, store, hang_s, settings)
    runtime = runtime or Runtime()
    aliases = Aliases()
    if not isinstance(tree, SupervisorSpec):
        config = load_config(tree)
        tree, aliases = config.tree, config.aliases
        store = store or config.store.url
        settings = settings or config.node.system()
    else:
        check_tree(tree)
    settings = with_aliases(settings, aliases, tree)
    if store is None:
        store = DEFAULT_STORE
    engine = open_store(store, runtime) if isinstance(store, str) else store
    owner = await engine.open()
    stack = ExitStack()
    try:
        stack.enter_context(contained_exits(asyncio.get_running_loop()))
        system = ActorSystem(engine, runtime, owner, settings)
        kernel = system.kernel
        kernel.events.subscribe(on_event)
        planted = kernel.activator = Tree(kernel, tree, supervisor=Supervisor)
        watchdog = None if hang_s is None else Watchdog(kernel, hang_s)
        try:
            if watchdog is not None:
                watchdog.start()  # before the boot, which runs code of actors
            await _boot(system, planted)
            yield system
        finally:
            try:
                if not home.abandoned:
                    await uncancelled(runtime.see_out(system.stop()))
            finally:
                system.halt()
                if watchdog is not None:
                    watchdog.stop()
    finally:
        stack.close()
        if not home.abandoned:
            await uncancelled(engine.close())


def _check_arguments(tree: object, store: object, hang_s: object, settings: object) -> None:
    """
    Raises:
        ConfigError, StoreUrlInvalid, TypeError, ValueError: an argument of `start` is of a wrong type.
    """
    if not isinstance(tree, SupervisorSpec | str | os.PathLike):
        hint = 'Put it under one: SupervisorSpec(id="app", children=[…]).' if isinstance(tree, ChildSpec | type) else ""
        expected = "a SupervisorSpec, or the path of a config file"
        raise ConfigError("start()", [Problem(key="tree", found=tree, expected=expected, hint=hint)])
    if isinstance(store, os.PathLike):
        raise StoreUrlInvalid(str(store), f"it is a path. As a URL it is {sqlite_url(store)}")
    if store is not None and not isinstance(store, str) and not hasattr(store, "open_reader"):
        raise StoreUrlInvalid(f"{store!r:.100}", "it is no URL")
    if hang_s is not None:
        check_seconds("hang_s", hang_s, above=0.0)
    if settings is not None and not isinstance(settings, Settings):
        raise TypeError(f"settings={settings!r:.100}: write Settings(...), with what differs from its defaults")


async def _boot(system: ActorSystem, tree: Tree) -> None:
    """Take up the rows that the last life left, and start the tree."""
    kernel = system.kernel
    reset = kernel.part(Reset)
    kernel.gave_up_error = tree.gave_up
    kernel.committer.start()
    await tree.load()
    root = kernel.root = tree.plant()
    report_loss(kernel)
    reset.suspect(kernel.attempts.left)
    pending = await reset.load()
    await kernel.part(Scan).park_damaged()
    for catch_up in kernel.hooks.catch_up:
        await catch_up()
    await tree.rows.commit()
    await _start_root(kernel, root)
    if kernel.caution is not None:
        await _unless_reset(kernel, reset.run_suspects())
        await _intact(kernel)
    await reset.look_round()
    system.inbox = Inbox(kernel, Administration(kernel, tree))
    kernel.add_parts(system.inbox)
    kernel.serve(system.inbox.run(), "greenroom inbox")
    kernel.serve(Housekeeping(kernel).run(), "greenroom housekeeping")
    kernel.events.emit("node.started", root.address, boot=kernel.boot, pending=pending, suspects=reset.suspects_left)


async def _start_root(kernel: Kernel, root: Cell) -> None:
    """Start the tree. If the store has failed by now, or fails meanwhile, the error of the store is raised.

    Raises:
        StoreFull, StoreUnavailable, Fenced, StartFailed
    """
    if kernel.part(Reset).reset_by is None:
        await _unless_reset(kernel, kernel.runtime.spawn(start_cell(root), "greenroom start"))
    await _intact(kernel)


async def _unless_reset(kernel: Kernel, step: Awaitable[None]) -> None:
    """Do a step of the boot. If the store fails, the reset of the tree cuts it off, and `_intact` raises the reason."""
    try:
        await step
    except (StartFailed, asyncio.CancelledError):
        task = asyncio.current_task()
        if kernel.part(Reset).reset_by is None or (task is not None and task.cancelling()):
            raise


async def _intact(kernel: Kernel) -> None:
    """Raise the error of a store that has failed during the boot. If the store refused data, wait for the tree instead:
    it comes back without the message that they were from.

    Raises:
        StoreFull, StoreUnavailable, Fenced
    """
    reset = kernel.part(Reset)
    while reset.reset_by is not None:
        if reset.task is None or not isinstance(reset.reset_by, StoreDataError):
            raise reset.reset_by
        reset.reset_by = None
        await asyncio.wait((reset.task,))
    if kernel.gave_up is not None:
        raise kernel.gave_up
