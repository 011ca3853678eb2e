"""A short ordeal: processes that share a store are killed while drawing; nothing is lost, paid or charged twice."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TORTURE = Path(__file__).resolve().parents[2] / "benchmarks" / "torture.py"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL")
@pytest.mark.parametrize("contender", ["rtk", "rtk-each"])
def test_killed_processes_lose_nothing_and_pay_nothing_twice(contender, tmp_path):
    """Four processes, ten kills, a tenth of faults: each of 240 samples is kept as told, paid once, charged once."""
    file = tmp_path / "figures.json"
    asked = [sys.executable, TORTURE, "--only", contender, "--questions", "30", "--kills", "10", "--processes", "4"]
    done = subprocess.run([*asked, "--json", file], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = {name: rounds[0] for name, rounds in json.loads(file.read_text())["figures"][contender].items()}
    assert (figures["stored"], figures["kills"]) == (240, 10)
    assert (figures["lost"], figures["twice"], figures["wrong"]) == (0, 0, 0)
    assert figures["faults"] > 0
