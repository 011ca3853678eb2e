"""The command line: thin. It parses, calls, and prints.

Floor 5: may import everything; a command loads what it needs when it runs.
Knows no model, store or study of its own: what a command does is done in the rooms below.
"""

from rtk.cli.commands import app, main

__all__ = ["app", "main"]
