"""Questions that lean on what was asked before: "and on the phone app?"

The rule, a function of the texts alone: a question leans on the turns before it where it has fewer than `ENOUGH` terms
of its own that any passage knows; or fewer than twice as many, and opens as one that goes on ("and …", "what about …")
or points back ("it", "that"). Then the terms of the `TURNS` user turns before it count too, each turn half as much as
the one after it; a term counts as it does where it counts most. The words that go on and point back are English ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dspy

from rtk.errors import RetrievalError
from rtk.retrieval.words import Words

ENOUGH = 2
TURNS = 3
FADING = 0.5

_GOES_ON = re.compile(r"\W*(?:and|or|but|also|then|so|ok|okay|what about|how about|what if|same|instead)\b", re.I)
_POINTS_BACK = re.compile(r"\b(?:it|its|that|this|those|these|them|they|there|one|ones|same|else|either)\b", re.I)
_KEYS = ("question", "query")


@dataclass(frozen=True)
class Asked:
    """What is searched for.

    Attributes:
        text: the question, behind the earlier turns that it leans on.
        terms: its terms, and how much each counts: 1, or less for those of earlier turns.
    """

    text: str
    terms: dict[str, float]


def asked(question: str, history: Any, words: Words, holds: Callable[[str], bool]) -> Asked:
    """What a question asks for in a conversation.

    Args:
        question: the question.
        history: what was said before; see `user_turns`.
        words: how text becomes terms.
        holds: whether any passage has a term.
    """
    terms = dict.fromkeys(words.terms(question), 1.0)
    earlier = user_turns(history)[-TURNS:]
    if not earlier or not leans(question, sum(map(holds, terms))):
        return Asked(question, terms)
    for back, turn in enumerate(reversed(earlier), 1):
        for term in words.terms(turn):
            terms.setdefault(term, FADING**back)
    return Asked("\n".join([*earlier, question]), terms)


def leans(question: str, known: int) -> bool:
    """Whether a question leans on the turns before it.

    Args:
        question: the question.
        known: how many terms of its own any passage has.
    """
    going_on = _GOES_ON.match(question) or _POINTS_BACK.search(question)
    return known < ENOUGH or (known < 2 * ENOUGH and going_on is not None)


def user_turns(history: Any) -> list[str]:
    """What a user said in a conversation, oldest first.

    Args:
        history: a `dspy.History`, whose messages hold a `question` or `query` (else their first field), or a `role`
            and its `content`; or a list of such messages, or of the user's texts; None for none.

    Raises:
        RetrievalError: for anything else.
    """
    messages = history.messages if isinstance(history, dspy.History) else history or ()
    if isinstance(messages, str | Mapping) or not isinstance(messages, Sequence):
        raise RetrievalError(
            f"history={type(history).__name__}: no conversation",
            mend='dspy.History(messages=[{"question": "…", "answer": "…"}]), or a list of what the user said',
        )
    said = [message if isinstance(message, str) else _said(message) for message in messages]
    return [text for text in said if text.strip()]


def _said(message: Any) -> str:
    if not isinstance(message, Mapping):
        raise RetrievalError(
            f"a message of history= is a {type(message).__name__}", mend="a mapping of fields, or the user's text"
        )
    if "role" in message:
        return _text(message.get("content")) if message["role"] == "user" else ""
    return _text(next((message[key] for key in _KEYS if key in message), next(iter(message.values()), "")))


def _text(content: Any) -> str:
    """A content that is text, or a list of parts of which some are."""
    if isinstance(content, list | tuple):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return content if isinstance(content, str) else ""
