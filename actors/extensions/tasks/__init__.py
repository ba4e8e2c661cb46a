"""Tasks: coroutines beside the actors, under a `TaskSupervisor` (supervision/supervisor/task_supervisor.py).

tasks               the side of the caller that starts them
task                one task
errors
"""
