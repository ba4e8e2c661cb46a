"""`Client` in other processes, beside a node that runs: how long an ask and a tell take from there."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from floors import BODY
from ours import Add, Total, counters, silent

from greenroom import Client, start

ADDRESS = "/bench/c0"


class Latencies(NamedTuple):
    """Of all clients together, in milliseconds."""

    ask_p50_ms: float
    ask_p99_ms: float
    tell_p50_ms: float
    asks_per_s: float


async def latencies(folder: Path, clients: int, asks: int, tells: int) -> Latencies:
    """So many clients at once, each a process that asks and then tells, one after another."""
    url = f"sqlite:///{folder}/clients{clients}.db"
    async with start(counters(1), store=url, on_event=silent) as system:
        command = (sys.executable, __file__, url, str(asks), str(tells))
        processes = [
            await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=2**24) for _ in range(clients)
        ]
        try:
            for process in processes:
                assert await _line(process) == "ready"
            began = perf_counter()
            asked = await _together(processes, "ask")
            took = perf_counter() - began
            told = await _together(processes, "tell")
            await system.idle()
            assert await system.ref(ADDRESS).ask(Total()) == tells * clients
        finally:
            for process in processes:
                if process.stdin is not None:
                    process.stdin.close()
                await process.wait()
    return Latencies(
        asked[len(asked) // 2] * 1e3,
        asked[len(asked) * 99 // 100] * 1e3,
        told[len(told) // 2] * 1e3,
        len(asked) / took,
    )


async def _together(processes: list[Process], step: str) -> list[float]:
    """Let all clients take a step; their latencies in seconds, in rising order."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(f"{step}\n".encode())
    return sorted(chain(*[json.loads(await _line(process)) for process in processes]))


async def _line(process: Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


async def _client(url: str, asks: int, tells: int) -> None:
    """The process of one client: takes its steps from stdin, answers with its latencies in seconds."""
    async with Client(url) as client:
        print("ready", flush=True)
        for step in sys.stdin:
            took = []
            for number in range(asks if step == "ask\n" else tells):
                began = perf_counter()
                if step == "ask\n":
                    await client.ask(ADDRESS, Total(), timeout_s=60.0)
                else:
                    await client.tell(ADDRESS, Add(number=number, body=BODY))
                took.append(perf_counter() - began)
            print(json.dumps(took), flush=True)


if __name__ == "__main__":
    asyncio.run(_client(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
