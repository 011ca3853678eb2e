"""Tools for testing what is built on rtk: `play`, a scripted model server, and faults for both.

Floor 5: may import every room; no room imports it.
Knows no model, task or store: a script is all it answers from.

A strategy is tested with a list of replies; the way to a model, and what can go wrong on it, with a server:

>>> pred = play(strategy, ["Paris", "Rome", "Paris"], question="…")  # doctest: +SKIP
>>> with ScriptedServer(["Paris", "Rome"]) as server:
...     lm = rtk.LM("openai/scripted", api_base=server.url, api_key="any")  # doctest: +SKIP
"""

from rtk.testing.faults import Faults, Kind, faults
from rtk.testing.play import play
from rtk.testing.replies import Received, Reply, Script
from rtk.testing.server import ScriptedServer

__all__ = ["Faults", "Kind", "Received", "Reply", "Script", "ScriptedServer", "faults", "play"]
