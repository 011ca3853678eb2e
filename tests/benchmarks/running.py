"""Running a benchmark's command, as anyone would."""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def run(command, *arguments):
    """What a command printed; it must succeed."""
    done = subprocess.run(
        [sys.executable, FOLDER / f"{command}.py", *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
