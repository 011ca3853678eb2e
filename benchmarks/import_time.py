"""How long `import rtk` takes, what it keeps in memory, and that it opens no socket.

Measured: fresh processes, one import each, interleaved: seconds from before the import to after it, by the process's
own clock; memory resident afterwards, with the interpreter's own; audit events of `socket`, counted by a hook set
before the import: sockets made or bound (urllib3, under DSPy, binds one to `::1` to see whether there is IPv6), and
what would leave the machine (connecting, sending, looking up a name). Nothing is set in the environment that would keep
DSPy or LiteLLM from fetching. Byte code is there: every import runs once before it is measured.

Contenders: the bare interpreter, `import dspy`, `import rtk`; and since rtk loads its rooms on first use, also `import
rtk` with `rtk.LM` and `rtk.SelfConsistency` named (what a study needs), and with every public name.

Goals: `import rtk` ≤ 1.25 × `import dspy`, ≤ 80 MB, no socket; and, since an import that only puts off the work proves
little, ≤ 1.25 × with `rtk.LM` and `rtk.SelfConsistency` named, and no connection with any name.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import bench
from bench import Figures, Goal, Report, check

LEAVES = ("socket.connect", "socket.send", "socket.getaddrinfo", "socket.gethostby")
CODE = {
    "python": "pass",
    "dspy": "import dspy",
    "rtk": "import rtk",
    "rtk-study": "import rtk; rtk.LM, rtk.SelfConsistency",
    "rtk-all": "import rtk; [getattr(rtk, name) for name in rtk.__all__]",
}
LABELS = {
    "python": "the bare interpreter", "dspy": "import dspy", "rtk": "import rtk",
    "rtk-study": "import rtk; rtk.LM, rtk.SelfConsistency", "rtk-all": "import rtk and every public name",
}  # fmt: skip
CHILD = """
import json, os, sys, time
seen = []
sys.addaudithook(lambda name, args: seen.append(f"{name}{args[1:]}") if name.startswith("socket.") else None)
before = len(sys.modules)
started = time.perf_counter()
%s
took = time.perf_counter() - started
with open("/proc/self/statm") as file:
    resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
print(json.dumps({"seconds": took, "mb": resident, "modules": len(sys.modules) - before, "sockets": seen,
                  "there": [name for name in ("dspy", "rtk") if name in sys.modules]}))
"""


def one_run(name: str, environment: dict[str, str]) -> dict[str, Any]:
    """One import in a fresh process, away from the checkout."""
    kept = {key: value for key, value in os.environ.items() if key != "LITELLM_LOCAL_MODEL_COST_MAP"}
    done = subprocess.run(
        [sys.executable, "-c", CHILD % CODE[name]], capture_output=True, text=True, check=True,
        cwd=environment["folder"], env=kept | {"DSPY_CACHEDIR": environment["DSPY_CACHEDIR"]},
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    wanted = name.partition("-")[0]
    check(wanted == "python" or wanted in found["there"], f"{name}: {wanted} was not imported")
    return found


def measure(options: Any) -> tuple[Figures, dict[str, set[str]]]:
    """The figures, and the socket events that were seen."""
    figures, sockets = Figures(), {}
    names = bench.chosen(options.only, list(CODE))
    with bench.folder() as environment:
        for name in names:
            one_run(name, environment)
        for _, name in bench.rounds(options.rounds, names):
            found = one_run(name, environment)
            sockets.setdefault(name, set()).update(found["sockets"])
            figures.add(name, seconds=found["seconds"], mb=found["mb"], modules=found["modules"])
    return figures, sockets


def report(options: Any, figures: Figures, sockets: dict[str, set[str]]) -> Report:
    """The table."""
    columns = [
        "process",
        "seconds",
        "× import dspy",
        "MB resident",
        "× import dspy",
        "modules",
        "sockets",
        "connections",
    ]
    made = Report("import_time: one import in a fresh process", columns, {k: str(v) for k, v in vars(options).items()})
    for name, of in figures.by_name.items():
        made.rows.append((
            LABELS[name], bench.spread(of["seconds"], ".3f"), bench.spread(figures.ratios(name, "seconds", "dspy")),
            bench.spread(of["mb"], ".1f"), bench.spread(figures.ratios(name, "mb", "dspy")),
            f"{bench.middle(of['modules']):.0f}", str(len(sockets[name])), str(len(leaving(sockets[name]))),
        ))  # fmt: skip
        made.notes += [f"{LABELS[name]}: {event}" for event in sorted(sockets[name])]
    made.notes.append(bench.versions({"dspy": sys.executable, "litellm": sys.executable}))
    made.goals = goals(figures, sockets)
    return made


def leaving(events: set[str]) -> list[str]:
    """Those that would leave the machine."""
    return [event for event in events if event.startswith(LEAVES)]


def goals(figures: Figures, sockets: dict[str, set[str]]) -> list[Goal]:
    """The issue's, and those that an import put off cannot evade."""

    def slower(name: str) -> float | None:
        return bench.middle(figures.ratios(name, "seconds", "dspy"))

    def events(name: str, which: Any) -> float | None:
        return float(len(which(sockets[name]))) if name in sockets else None

    return [
        Goal("import rtk × import dspy", slower("rtk"), 1.25, at_most=True),
        Goal("import rtk, MB resident", bench.middle(figures.get("rtk", "mb")), 80, at_most=True),
        Goal("import rtk, socket events", events("rtk", list), 0, at_most=True),
        Goal(f"{LABELS['rtk-study']} × import dspy", slower("rtk-study"), 1.25, at_most=True),
        Goal("every public name, connections", events("rtk-all", leaving), 0, at_most=True),
    ]


def main() -> None:
    """The command."""
    parser = bench.arguments(__doc__, __file__)
    parser.set_defaults(rounds=7)
    options = parser.parse_args()
    figures, sockets = measure(options)
    bench.conclude(report(options, figures, sockets), figures.by_name, options)


if __name__ == "__main__":
    main()
