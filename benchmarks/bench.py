"""What the benchmarks share: contenders in processes of their own, interleaved rounds, figures, a table.

A contender is a function in a benchmark's file: from settings it makes a `work(order)`, which is timed. What `work`
returns may be a function: it is called after the clock has stopped, and gives the proof that the work was done.
Nothing here needs rtk or rich but the table, so a contender may run under another interpreter (`--peers`).
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Work = Callable[[dict[str, Any]], Any]
Make = Callable[[dict[str, Any]], Work]

ROOT = Path(__file__).resolve().parents[1]


class Fake(AssertionError):
    """The work that was timed was not done, so no figure is printed."""


def check(done: bool, otherwise: str) -> None:
    """Stop where the work was not done: a benchmark never measures a fake."""
    if not done:
        raise Fake(otherwise)


# --- contenders, each in a process of its own -------------------------------------------------------------------------


class NotInstalled(Exception):
    """A peer that no interpreter here has."""


def python_with(module: str, peers: Sequence[str]) -> str:
    """An interpreter that has a module: this one, or one of the peers'.

    Raises:
        NotInstalled: where none has it.
    """
    if not module or importlib.util.find_spec(module):
        return sys.executable
    look = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"
    for python in peers:
        if subprocess.run([python, "-c", look], check=False).returncode == 0:
            return python
    raise NotInstalled(f"not installed: pip install {module}")


class Worker:
    """A process in which one contender works.

    Args:
        file: the benchmark's, which calls `serve` where it is started as a worker.
        name: of the contender.
        settings: for its `Make`.
        python: the interpreter.
        patience: seconds that an order may take; then the process is ended.
    """

    def __init__(
        self, file: str, name: str, settings: Mapping[str, Any], python: str = sys.executable, patience: float = 600
    ) -> None:
        self.name, self._patience = name, patience
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - it lives as long as the process
        self._process = subprocess.Popen(
            [python, file, "--as-worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True,
            env=os.environ | settings.get("environment", {}),
        )  # fmt: skip
        self.send({"contender": name, "settings": settings})
        self.receive()

    def send(self, order: Mapping[str, Any]) -> None:
        """Let it begin."""
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failed() from None

    def receive(self) -> dict[str, Any]:
        """What came of it: `wall` and `cpu` in seconds, `rss` in MB, and the `result`."""
        late = threading.Timer(self._patience, self._process.kill)
        late.start()
        line = self._process.stdout.readline()
        late.cancel()
        reply = json.loads(line) if line else {}
        if "wall" not in reply:
            raise self._failed(reply.get("error", ""))
        return reply

    def ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Both."""
        self.send(order)
        return self.receive()

    def _failed(self, error: str = "") -> Exception:
        self._said.seek(0)
        why = error or f"it ended, or took longer than {self._patience:g} s"
        return RuntimeError(f"the contender {self.name!r} failed:\n{self._said.read()[-4000:]}\n{why}")

    def close(self) -> None:
        """End it; one that does not end by itself is ended."""
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def serve(contenders: Mapping[str, Make]) -> None:
    """The worker's side: orders come on stdin, results go to what was stdout; what libraries print goes to stderr."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    work: Work | None = None
    for line in sys.stdin:
        order = json.loads(line)
        try:
            if work is None:
                work, reply = contenders[order["contender"]](order["settings"]), {"wall": 0.0}
            else:
                reply = timed(work, order)
        except BaseException:  # noqa: BLE001 - goes to the process that measures, which stops
            reply = {"error": traceback.format_exc()}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def timed(work: Work, order: dict[str, Any]) -> dict[str, Any]:
    """Wall clock and this process's CPU seconds (user and system, all threads) of a piece of work."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    result = work(order)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall": wall, "cpu": cpu, "rss": rss(), "result": result() if callable(result) else result}


def rss() -> float:
    """This process's memory in MB: what is resident now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


# --- rounds and figures -----------------------------------------------------------------------------------------------


def rounds(count: int, names: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Every round asks everybody, each time beginning with another: what else the machine does falls on all alike."""
    for number in range(count):
        shift = number % len(names)
        for name in (*names[shift:], *names[:shift]):
            yield number, name


@dataclass
class Figures:
    """What was measured: by contender, by what it is, one figure a round."""

    by_name: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, name: str, **figures: float) -> None:
        """The figures of one round."""
        for what, figure in figures.items():
            self.by_name.setdefault(name, {}).setdefault(what, []).append(figure)

    def get(self, name: str, what: str) -> list[float]:
        """The figures of all rounds."""
        return self.by_name.get(name, {}).get(what, [])

    def ratios(self, name: str, what: str, to: str) -> list[float]:
        """A contender's figures by another's, round by round; empty where one of them was not measured."""
        return [a / b for a, b in zip(self.get(name, what), self.get(to, what), strict=False) if b]


def middle(figures: Sequence[float]) -> float | None:
    """The median; None of nothing."""
    return statistics.median(figures) if figures else None


def spread(figures: Sequence[float], form: str = ".2f") -> str:
    """The median, and from where to where the rounds went."""
    if not figures:
        return "–"
    shown = f"{statistics.median(figures):{form}}"
    return shown if len(figures) == 1 else f"{shown} ({min(figures):{form}}–{max(figures):{form}})"


# --- the command ------------------------------------------------------------------------------------------------------


def arguments(doc: str, file: str) -> argparse.ArgumentParser:
    """What every benchmark takes."""
    parser = argparse.ArgumentParser(
        Path(file).name, description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds; the median counts (%(default)s)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these contenders only")
    peers = "interpreters of virtual environments that have the peers which this one lacks"
    parser.add_argument("--peers", nargs="+", default=[], metavar="PYTHON", help=peers)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the raw figures there")
    parser.add_argument("--strict", action="store_true", help="end with status 1 where a goal is missed")
    return parser


def chosen(only: Sequence[str] | None, names: Sequence[str]) -> list[str]:
    """The contenders to ask, in their usual order."""
    unknown = set(only or ()) - set(names)
    if unknown:
        raise SystemExit(f"no contender {', '.join(sorted(unknown))}: there is {', '.join(names)}")
    return [name for name in names if not only or name in only]


@contextmanager
def folder() -> Iterator[dict[str, str]]:
    """A folder for all that is stored, and the environment of workers that keep to it and fetch nothing."""
    with tempfile.TemporaryDirectory(prefix="rtk-benchmark-") as path:
        yield {
            "folder": path, "DSPY_CACHEDIR": f"{path}/dspy", "RTK_CACHE": f"{path}/rtk", "RTK_RECORDING": "",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_PROXY": "127.0.0.1",
        }  # fmt: skip


@dataclass(frozen=True)
class Goal:
    """A figure, and the bound it is to keep; None where it was not measured."""

    what: str
    figure: float | None
    bound: float
    at_most: bool = False

    @property
    def met(self) -> bool | None:
        """Whether it does."""
        if self.figure is None:
            return None
        return self.figure <= self.bound if self.at_most else self.figure >= self.bound

    def __str__(self) -> str:
        sign = "≤" if self.at_most else "≥"
        if self.figure is None:
            return f"· {self.what} {sign} {self.bound:g}: not measured"
        figure = f"{self.figure:,.0f}" if abs(self.figure) >= 100 else f"{self.figure:.3g}"
        return f"{'✓' if self.met else '✗'} {self.what} {sign} {self.bound:g}: {figure}"


@dataclass
class Report:
    """A table, what it was measured on, and the goals."""

    title: str
    columns: Sequence[str]
    settings: Mapping[str, Any]
    rows: list[Sequence[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    load: float = field(default_factory=lambda: os.getloadavg()[0])

    def show(self, raw: Any, json_path: Path | None = None) -> bool:
        """Print it; whether every goal that was measured is met.

        Args:
            raw: the figures themselves, for the file.
            json_path: the file, where one is wanted.
        """
        from rich.console import Console
        from rich.table import Table

        machine = machine_facts()
        table = Table(title=self.title, title_justify="left", title_style="bold", caption_justify="left")
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="right" if number else "left", no_wrap=not number)
        for row in self.rows:
            table.add_row(*row)
        console = Console(width=None if sys.stdout.isatty() else 170, highlight=False)
        console.print(table)
        quiet = "" if self.load < 0.5 else " – not a quiet machine: take the figures for noise"
        facts = " · ".join(f"{name} {value}" for name, value in machine.items())
        for line in (*self.notes, f"{facts} · load at the start {self.load:.1f}{quiet}", *map(str, self.goals)):
            console.print(line, markup=False, soft_wrap=True)
        if json_path is not None:
            goals = [{**vars(goal), "met": goal.met} for goal in self.goals]
            whole = {"benchmark": self.title, "machine": machine, "load": self.load, "settings": self.settings,
                     "figures": raw, "goals": goals}  # fmt: skip
            json_path.write_text(json.dumps(whole, indent=1, default=str) + "\n", "utf-8")
        return all(goal.met is not False for goal in self.goals)


def conclude(made: Report, raw: Any, options: argparse.Namespace) -> None:
    """Show a report and end the command; with `--strict`, with status 1 where a goal is missed."""
    met = made.show(raw, options.json)
    sys.exit(options.strict and not met)


def machine_facts() -> dict[str, str]:
    """What a figure depends on besides the code."""
    with open("/proc/cpuinfo") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    commit = _git("rev-parse", "--short", "HEAD") + (" and more" if _git("status", "--porcelain", "rtk") else "")
    cores = len(os.sched_getaffinity(0))
    return {"commit": commit, "python": platform.python_version(), "cpu": f"{names[0] if names else '?'} × {cores}"}


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def versions(pairs: Mapping[str, str]) -> str:
    """The versions of what is compared: by distribution, the interpreter that has it."""
    look = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
    found = []
    for name, python in pairs.items():
        done = subprocess.run([python, "-c", look, name], capture_output=True, text=True, check=False)
        found.append(f"{name} {done.stdout.strip() or '?'}")
    return ", ".join(found)
