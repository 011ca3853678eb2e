"""Words of a question that no passage mentions: a hint for a reader, and no decision."""

from __future__ import annotations

import re
from collections.abc import Sequence

MOST = 6

_SMALL = """
about after again also another anything already because been before being between came cannot come comes could
does doing done each else even ever every find from gets getting get give given goes gone going have having
hello here instead into just keep know like make many maybe more most much must need never only other over
please same shall should show shown some something still such take tell than thank thanks that their them then
there these they thing this those through told tried tries trying turn turned turning until upon used using very
want wants were what when where whether which while will with within without work would your yours
"""
SMALL = frozenset(_SMALL.split())
"""Words that say nothing of a question's subject."""

_WORD = re.compile(r"[^\W\d_]{4,}|[^\W\d_]+\d+\b|\d{2,}")
_ENDING = re.compile(r"(?:ing|ies|ed|es|s|e|y)$")


def unmentioned(question: str, texts: Sequence[str]) -> list[str]:
    """The words, codes and numbers of a question that no text has, whatever their endings; six at most.

    Nothing where there are no texts.
    """
    if not texts:
        return []
    held = {_stem(word) for text in texts for word in re.findall(r"\w+", text.casefold())}
    asked = dict.fromkeys(_WORD.findall(question.casefold()))
    return [word for word in asked if word not in SMALL and _stem(word) not in held][:MOST]


def _stem(word: str) -> str:
    """A word without its ending, roughly."""
    return _ENDING.sub("", word)[:6] if len(word) > 3 else word
