"""python examples/bank: a few transfers. With --chaos: transfers while the node is killed again and again.

Run it twice: the second run goes on from the first one's balances. --fresh begins anew.
"""

from __future__ import annotations

import argparse
import sys
import uuid
from pathlib import Path

import anyio
import chaos
from bank import Balance, Transfer, address
from loguru import logger
from rich.console import Console
from rich.table import Table

from greenroom import start

TREE = Path(__file__).resolve().with_name("bank.toml")
DATABASE = TREE.with_name("bank.db")
TRANSFERS = (("alice", "bob", 300), ("bob", "carol", 120), ("carol", "alice", 45), ("bob", "alice", 5_000))


async def transfer() -> None:
    owners = sorted({owner for transfer in TRANSFERS for owner in transfer[:2]})
    table = Table("account", "before", "after", title="bank")
    async with start(TREE) as system:
        before = [await system.ref(address(owner)).ask(Balance()) for owner in owners]
        for payer, payee, amount in TRANSFERS:
            order = Transfer(id=uuid.uuid4().hex, to=payee, amount=amount)
            await system.ref(address(payer)).tell(order)  # from here on it can't be lost
        await system.idle()
        after = [await system.ref(address(owner)).ask(Balance()) for owner in owners]
    for owner, *balances in zip(owners, before, after, strict=True):
        table.add_row(owner, *map(str, balances))
    table.add_section()
    table.add_row("together", str(sum(before)), str(sum(after)))
    console = Console()
    console.print(table)
    console.print(
        f"The books are in {DATABASE}; run it again, and it goes on. Transfers of more than an account holds are dead "
        f"letters:\npython -m greenroom dead list --tree {TREE}",
        soft_wrap=True,
        highlight=False,
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python examples/bank", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chaos", action="store_true", help="kill the node in a loop, and audit it each time")
    parser.add_argument("--fresh", action="store_true", help="delete the books first")
    chaos.arguments(parser.add_argument_group("with --chaos"))
    args = parser.parse_args()
    if args.chaos:
        return chaos.main(args)
    if args.fresh:
        for file in DATABASE.parent.glob(f"{DATABASE.name}*"):
            file.unlink()
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    anyio.run(transfer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
