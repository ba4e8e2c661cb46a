"""The errors of tasks."""

from __future__ import annotations

from ...messages.errors import ActorError

__all__ = ("TaskCancelled", "TaskTimeout", "TasksFull")


class TasksFull(ActorError):
    """The task supervisor runs as many tasks as it may; `max_waiting` is None for a task that wouldn't wait."""

    def __init__(self, address: str, max_tasks: int, max_waiting: int | None) -> None:
        self.address = address
        self.max_tasks = max_tasks
        self.max_waiting = max_waiting
        if max_waiting is None:
            found, remedy = "", "Use `run`, which waits for room, or raise"
        else:
            found, remedy = f", and {max_waiting} wait for room", "Start fewer at a time, or raise"
        super().__init__(f"{address} runs {max_tasks} tasks{found}: as many as it may. {remedy} its `max_tasks`")


class TaskCancelled(ActorError):
    """The task was cancelled, or its supervisor has stopped: it has no result."""

    def __init__(self, address: str, task: str, why: str) -> None:
        self.address = address
        self.task = task
        self.why = why
        super().__init__(f"the task {task} of {address} has no result: {why}. Start it again if it is still needed")


class TaskTimeout(ActorError, TimeoutError):
    """The task took longer than its `timeout_s`, the wait for room included, and was cancelled."""

    def __init__(self, address: str, task: str, timeout_s: float) -> None:
        self.address = address
        self.task = task
        self.timeout_s = timeout_s
        super().__init__(
            f"the task {task} of {address} took longer than {timeout_s:g} s. Raise timeout_s, or make it less"
        )
