"""Tools for testing what is built on rtk: a scripted model server, and faults for it.

Floor 5: may import every room; no room imports it.
Knows no strategy, task or store: a script is all it answers from.

>>> with ScriptedServer(["Paris", "Rome"]) as server:
...     lm = rtk.LM("openai/scripted", api_base=server.url, api_key="any")  # doctest: +SKIP
"""

from rtk.testing.faults import Faults, Kind, faults
from rtk.testing.replies import Received, Reply, Script
from rtk.testing.server import ScriptedServer

__all__ = ["Faults", "Kind", "Received", "Reply", "Script", "ScriptedServer", "faults"]
