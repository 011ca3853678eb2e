"""Samples at their addresses, on disk: written once, read ever after. Recordings of them, in and out.

Floor 1: imports the ground only.
Knows no model: what is drawn, and when, is decided above.
"""

from rtk.store.claims import Claims
from rtk.store.disk import TextDisk
from rtk.store.exchange import Merged, Verified, verified
from rtk.store.frames import rows_of
from rtk.store.ingest import Ingested
from rtk.store.overview import Held, Tally
from rtk.store.paths import default_path, size_of, whole_path
from rtk.store.recordings import Recording, current_recording, recording
from rtk.store.store import DamagedSample, SampleStore

__all__ = [
    "Claims",
    "DamagedSample",
    "Held",
    "Ingested",
    "Merged",
    "Recording",
    "SampleStore",
    "Tally",
    "TextDisk",
    "Verified",
    "current_recording",
    "default_path",
    "recording",
    "rows_of",
    "size_of",
    "verified",
    "whole_path",
]
