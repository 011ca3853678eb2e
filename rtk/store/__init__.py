"""Samples at their addresses, on disk: written once, read ever after.

Floor 1: imports the ground only.
Knows no model: what is drawn, and when, is decided above.
"""

from rtk.store.disk import TextDisk
from rtk.store.paths import default_path
from rtk.store.store import DamagedSample, SampleStore

__all__ = ["DamagedSample", "SampleStore", "TextDisk", "default_path"]
