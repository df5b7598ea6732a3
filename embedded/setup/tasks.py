"""Runs set-up's steps: those that do not depend on each other at the same time, and none outlives the first failure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from embedded.setup import process


@dataclass(frozen=True)
class Task:
    """A piece of work with a name, and the names of those that have to be done before it."""

    name: str
    work: Callable[[], object]
    after: Sequence[str] = ()


def run(tasks: Sequence[Task]) -> None:
    """Run all tasks; raises what the first one that fails raises, once everything that still runs is ended.

    A name that no task has counts as done: whoever leaves out a task need not change those that come after it.
    """
    names = {task.name for task in tasks}
    waiting, done = list(tasks), set[str]()
    running: dict[Future[object], str] = {}
    process.allow()
    with ThreadPoolExecutor(max(1, len(tasks)), "set-up") as pool:
        try:
            while waiting or running:
                for task in [one for one in waiting if done >= names.intersection(one.after)]:
                    waiting.remove(task)
                    running[pool.submit(task.work)] = task.name
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    done.add(running.pop(future))
                    future.result()
        except BaseException:
            process.stop()
            raise
