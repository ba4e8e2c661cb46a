"""One life of the bank's node: tellers make transfers at random until the process is killed.

It says on standard output, a line each: `starting` before it starts, `ready` when it is up, `opened` when every account
has a row, and `ack ID` when the receipt of a transfer has been awaited, which promises that the transfer is on disk.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from pathlib import Path

import anyio
from bank import Balance, Transfer, address
from loguru import logger

from greenroom import ActorSystem, start

TREE = Path(__file__).with_name("bank.toml")
AMOUNT_MAX = 200


def say(line: str) -> None:
    """In one write, so that a kill can't cut a line in two."""
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


def owners(count: int) -> list[str]:
    return [f"a{number:03d}" for number in range(count)]


async def tell(system: ActorSystem, teller: str, accounts: list[str], seed: str) -> None:
    """Transfers, one after another, each acknowledged when it is on disk."""
    draw = random.Random(f"{seed} {teller}")
    number = 0
    while True:
        number += 1
        payer, payee = draw.sample(accounts, 2)
        transfer = Transfer(id=f"{teller}-{number}", to=payee, amount=draw.randint(1, AMOUNT_MAX))
        await system.ref(address(payer)).tell(transfer)
        say(f"ack {transfer.id}")
        await anyio.sleep(draw.expovariate(1 / 0.005))


async def live(args: argparse.Namespace) -> None:
    accounts = owners(args.accounts)
    say("starting")
    async with start(TREE, store=args.store) as system:
        say("ready")
        if args.open:
            for owner in accounts:
                await system.ref(address(owner)).ask(Balance(), timeout_s=30)
            say("opened")
        if args.settle:
            await system.idle()
            return
        async with anyio.create_task_group() as tellers:
            for number in range(args.tellers):
                tellers.start_soon(tell, system, f"{args.life}.{number}", accounts, args.seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", required=True)
    parser.add_argument("--life", type=int, required=True, help="the number of this life, part of each id")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--accounts", type=int, default=50)
    parser.add_argument("--tellers", type=int, default=8)
    parser.add_argument("--open", action="store_true", help="see that every account exists first")
    parser.add_argument("--settle", action="store_true", help="only finish what is left, then stop")
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    anyio.run(live, parser.parse_args())


if __name__ == "__main__":
    main()
