"""Models: from a request to its samples, drawn once, kept, and charged.

Floor 2: imports answers, store, budget and the ground.
Knows no strategy and no task.
"""

from rtk.models.asking import NOT_DRAWN, Ask, Gathered, Gathering, agather, begun, gather, glimpse, known, whole
from rtk.models.free_text import TextAdapter
from rtk.models.lines import LinesAdapter
from rtk.models.lm import LM, lost
from rtk.models.loop import on_background, refuse_on_background, submit
from rtk.models.outlook import Expected, Outlook
from rtk.models.pinging import Ping
from rtk.models.scoring import Endpoint
from rtk.models.streaming import Voice, unstreamed, voice_of
from rtk.models.wire import Completion, Fault, Streaming, Transport, fault_of_status

__all__ = [
    "LM",
    "NOT_DRAWN",
    "Ask",
    "Completion",
    "Endpoint",
    "Expected",
    "Fault",
    "Gathered",
    "Gathering",
    "LinesAdapter",
    "Outlook",
    "Ping",
    "Streaming",
    "TextAdapter",
    "Transport",
    "Voice",
    "agather",
    "begun",
    "fault_of_status",
    "gather",
    "glimpse",
    "known",
    "lost",
    "on_background",
    "refuse_on_background",
    "submit",
    "unstreamed",
    "voice_of",
    "whole",
]
