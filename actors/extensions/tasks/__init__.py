"""Tasks: coroutines beside the actors, under a `TaskSupervisor` (supervision/supervisor/task_supervisor.py).

tasks               the side of callers, who start them
task                one task
errors
"""
