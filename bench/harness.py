"""How times are taken: cases, checks against a reference, interleaved rounds, medians.

All peers of a case run in one process, in turns: each round times each peer once, beginning with
another one each time, so that a slow spell of the machine falls on all.  A sample is as many calls
as fill a given time, after a pause and a call that is not timed: the threads of the last peer may
still be spinning, and its own asleep.  The garbage collector is run before a case and kept away
during it.  Reported is the median over rounds.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.peers import Peer
from bench.roofline import Traffic, traffic

__all__ = ["NUMPY", "Case", "Effort", "Outcome", "Timed", "measure"]

Function = Callable[..., Any]

PAUSE = 0.01
"""Seconds between the samples of two peers."""

NUMPY = Peer("numpy", np.__version__, lambda x: x, lambda x: x, np.asarray)
"""The usual reference."""


@dataclass(frozen=True)
class Effort:
    """How long to measure: seconds of one sample, rounds, and seconds for one case at most."""

    sample: float
    rounds: int
    most: float


@dataclass(frozen=True)
class Case:
    """A row of the table whose functions are called again and again.

    Attributes
    ----------
    name, size, dtype : str
        The first three columns.
    arguments : callable
        Make the arguments: a tuple of NumPy arrays, scalars, or pytrees (lists, dicts) of them.
    functions : dict
        For each peer, a callable that imports what it needs and returns the function to be timed,
        compiled or about to be.
    tolerance : float
        Largest difference from the reference, over the largest value.
    divide : int
        The time shown is that of a call over this.
    expected : callable, optional
        Returns the function whose result is right; the reference's if not given.
    """

    name: str
    size: str
    dtype: str
    arguments: Callable[[], tuple[Any, ...]]
    functions: dict[str, Callable[[], Function]]
    tolerance: float = 1e-10
    divide: int = 1
    expected: Callable[[], Function] | None = None


@dataclass(frozen=True)
class Timed:
    """A row whose functions time themselves, as compilation and tracing must.

    Attributes
    ----------
    samplers : dict
        For each peer, a function of the round that returns seconds; it must do new work in each
        round, the same for all peers, and raise if a result is wrong.
    unit : {"s", "B"}
        What it returns: seconds, or bytes.
    """

    name: str
    size: str
    dtype: str
    samplers: dict[str, Callable[[Peer, int], float]]
    rounds: int | None = None
    unit: str = "s"


@dataclass
class Outcome:
    """Seconds by peer, and what went wrong by peer; what tracejit moves in `calls` such times."""

    name: str
    size: str
    dtype: str
    seconds: dict[str, float] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    traffic: Traffic | None = None
    calls: int = 1
    unit: str = "s"

    @property
    def call(self) -> float | None:
        """Seconds of a call of tracejit's function."""
        own = self.seconds.get("tracejit")
        return None if own is None else own * self.calls


def measure(
    case: Case | Timed, peers: Sequence[Peer], effort: Effort, reference: Peer = NUMPY
) -> Outcome:
    """Check and time a case with each peer that it names.

    Parameters
    ----------
    case : Case or Timed
        The row.
    peers : sequence of Peer
        The libraries.
    effort : Effort
        How long.
    reference : Peer
        Whose results are right.  Its function is called once; `host` of each peer must return what
        `host` of the reference does, arrays of NumPy or of another library with its functions.
    """
    outcome = Outcome(case.name, case.size, case.dtype)
    samples: dict[str, Callable[[int], float]] = {}
    if isinstance(case, Timed):
        for peer in peers:
            if peer.name in case.samplers:
                samples[peer.name] = _timed(case.samplers[peer.name], peer)
        rounds = case.rounds or effort.rounds
        outcome.unit = case.unit
    else:
        samples, slowest = _prepared(case, peers, effort, outcome, reference)
        rounds = max(3, min(effort.rounds, int(effort.most / max(slowest, 1e-9))))
    seconds: dict[str, list[float]] = {name: [] for name in samples}
    with _no_collector():
        for number in range(rounds):
            names = [name for name in samples if name not in outcome.errors]
            for name in (
                names[number % len(names) :] + names[: number % len(names)] if names else ()
            ):
                try:
                    seconds[name].append(samples[name](number))
                except Exception as error:
                    outcome.errors[name] = _line(error)
    for name, values in seconds.items():
        if values and name not in outcome.errors:
            outcome.seconds[name] = statistics.median(values)
    return outcome


def _timed(sampler: Callable[[Peer, int], float], peer: Peer) -> Callable[[int], float]:
    return lambda number: sampler(peer, number)


def _prepared(
    case: Case, peers: Sequence[Peer], effort: Effort, outcome: Outcome, reference: Peer
) -> tuple[dict[str, Callable[[int], float]], float]:
    """Build, check and calibrate each peer's function; return samplers and a round's seconds."""
    arguments = case.arguments()
    with np.errstate(all="ignore"):
        given = tuple(_converted(a, reference.array) for a in arguments)
        truth = case.expected or case.functions[reference.name]
        expected = _leaves(truth()(*given), reference.host)
        del given
    samples: dict[str, Callable[[int], float]] = {}
    in_a_round = 0.0
    for peer in peers:
        if peer.name not in case.functions:
            continue
        try:
            function = case.functions[peer.name]()
            own = tuple(_converted(a, peer.array) for a in arguments)
            result = peer.ready(function(*own))
            _compare(_leaves(result, peer.host), expected, case.tolerance, reference.name)
            del result
            peer.ready(function(*own))
            calls, each = _calibrated(function, own, peer.ready, effort.sample)
        except Exception as error:
            outcome.errors[peer.name] = _line(error)
            continue
        if peer.name == "tracejit":
            outcome.traffic, outcome.calls = traffic(function, own), case.divide
        in_a_round += calls * each
        samples[peer.name] = _sampler(function, own, peer.ready, calls, case.divide)
    return samples, in_a_round


def _sampler(
    function: Function, arguments: tuple[Any, ...], ready: Function, calls: int, divide: int
) -> Callable[[int], float]:
    def sample(number: int) -> float:
        del number
        time.sleep(PAUSE)
        ready(function(*arguments))
        return _seconds(function, arguments, ready, calls) / (calls * divide)

    return sample


def _seconds(function: Function, arguments: tuple[Any, ...], ready: Function, calls: int) -> float:
    loop = range(calls)
    began = time.perf_counter()
    for _ in loop:
        result = function(*arguments)
    ready(result)
    return time.perf_counter() - began


def _calibrated(
    function: Function, arguments: tuple[Any, ...], ready: Function, sample: float
) -> tuple[int, float]:
    calls = 1
    while True:
        taken = _seconds(function, arguments, ready, calls)
        if taken >= 0.5 * sample or calls >= 1_000_000:
            return max(1, round(calls * sample / max(taken, 1e-9))), taken / calls
        calls = max(2 * calls, math.ceil(0.6 * sample / max(taken / calls, 1e-9)))


def _compare(got: list[Any], expected: list[Any], tolerance: float, whose: str) -> None:
    if len(got) != len(expected):
        raise ValueError(f"{len(got)} results where {whose} has {len(expected)}")
    for a, b in zip(got, expected, strict=True):
        if a.shape != b.shape:
            raise ValueError(f"shape {a.shape} where {whose} has {b.shape}")
        scale = float(np.max(np.abs(b))) or 1.0
        off = float(np.max(np.abs(a.astype(np.float64) - b.astype(np.float64)))) / scale
        if not off <= tolerance:
            raise ValueError(f"differs from {whose} by {off:.1e}, more than {tolerance:.0e}")


def _converted(value: Any, array: Function) -> Any:
    if isinstance(value, np.ndarray):
        return array(value)
    if isinstance(value, dict):
        return {key: _converted(item, array) for key, item in value.items()}
    return value


def _leaves(value: Any, host: Function) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for key in sorted(value) for leaf in _leaves(value[key], host)]
    if isinstance(value, tuple | list):
        return [leaf for item in value for leaf in _leaves(item, host)]
    return [host(value)]


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:160]


@contextmanager
def _no_collector() -> Iterator[None]:
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
