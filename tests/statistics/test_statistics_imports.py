"""What the room of statistics loads, and when."""

import subprocess
import sys


def test_the_room_loads_without_scipy():
    """Importing the room does not load scipy."""
    program = "import sys, rtk.statistics; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
