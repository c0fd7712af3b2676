"""Times calls that take turns in one process. Knows no contender and no shape.

A turn begins with a pause, in which the threads of the one before stop spinning, and an untimed call, which brings
its own caches and threads back; a turn of short calls times many of them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

PAUSE = 0.005  # seconds; OpenMP's threads spin for about 3 ms after their last work
TURN = 0.03  # seconds of timed calls a turn, where one call is shorter
MOST_CALLS = 500  # a turn
LONG = 0.1  # seconds a call from which the untimed call is left out: the neighbour's traces are below a hundredth
FEWEST_ROUNDS = 3


def interleaved(calls: Mapping[str, Callable[[], Any]], rounds: int, budget: float) -> tuple[dict[str, float], int]:
    """Median milliseconds of each call, and how many rounds there were.

    Args:
        calls: by name; each has run before.
        rounds: turns of each, at most.
        budget: seconds for all of them; at least three rounds are made all the same.
    """
    once = {name: _seconds(call, 1) for name, call in calls.items()}
    many = {name: max(1, min(MOST_CALLS, int(TURN / seconds))) for name, seconds in once.items()}
    a_round = sum(PAUSE + seconds * (many[name] + (seconds < LONG)) for name, seconds in once.items())
    rounds = max(FEWEST_ROUNDS, min(rounds, int(budget / a_round)))
    taken: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for turn in range(rounds):
        first = turn % len(names)  # each follows each other's neighbour only sometimes
        for name in names[first:] + names[:first]:
            time.sleep(PAUSE)
            if once[name] < LONG:
                calls[name]()
            taken[name].append(_seconds(calls[name], many[name]))
    return {name: 1000 * statistics.median(seconds) for name, seconds in taken.items()}, rounds


def by_turns(names: Iterable[str], turn: int) -> list[str]:
    """Forwards in one turn and backwards in the next, so that none always follows another: for what times itself."""
    return list(names)[:: 1 if turn % 2 == 0 else -1]


def rounded(numbers: Mapping[str, float]) -> dict[str, float]:
    """Four digits of each: more would be noise."""
    return {name: float(f"{number:.4g}") for name, number in numbers.items()}


def _seconds(call: Callable[[], Any], many: int) -> float:
    """Mean seconds of a call."""
    began = time.perf_counter()
    for _ in range(many):
        call()
    return (time.perf_counter() - began) / many
