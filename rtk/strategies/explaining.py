"""Explaining: how an answer came about, in words for its reader, written only from what the audit trail holds."""

from __future__ import annotations

import re
from collections.abc import Sequence

import dspy
from dspy.signatures.signature import make_signature

from rtk.strategies.verifying import Attempt

LONGEST = 2000  # characters of one attempt in the trail
MOST = 4000  # characters of an explanation that are looked at
SHORT = 200  # characters of an answer or a finding in the summary
TRAIL = "trail"

_COUNTS = (
    "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen",
    "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_PLACES = ("second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred")
_WORDS = {
    **{word: str(number) for words in (_COUNTS, _PLACES) for number, word in enumerate(words, 2)},
    **{word: str(number * 10) for number, word in enumerate(_TENS, 2)},
    "twice": "2", "thrice": "3", "dozen": "12", "thousand": "1000", "million": "1000000", "billion": "1000000000",
}  # fmt: skip
_SENTENCE = re.compile(r"[^\n]*?(?:[.!?]+[\"”’»)\]]*(?=\s|$)|(?=\n|$))")
_ITEM = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+", re.MULTILINE)
_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
_QUOTED = re.compile(r"\"([^\"\n]+)\"|“([^”\n]+)”|«([^»\n]+)»|`([^`\n]+)`|(?<!\w)['‘]([^'’\n]+)['’](?!\w)")
_SIGNS = re.compile(r"[-+*/×÷−^().,\d\s=]+")
_NAME = re.compile(r"(?<=[^\s.!?:“\"] )[“\"(]?([A-Z][\w-]+)")
_LINK = re.compile(r"(?:https?://|www\.)\S+")


def explainer() -> dspy.Predict:
    """The predictor that tells a reader how an answer came about; it sees the trail and nothing else."""
    fields = {
        TRAIL: (str, dspy.InputField(desc="what was tried, found and kept")),
        "explanation": (str, dspy.OutputField(desc="for a reader")),
    }
    asked = (
        "Tell the reader in two or three sentences how this answer came about, and how far it was verified. Use only "
        "what the trail says: no number, name or fact that is not in it."
    )
    return dspy.Predict(make_signature(fields, asked))


def trail(attempts: Sequence[Attempt], best: Attempt, why: str) -> str:
    """All that was tried and found, in words, as far as it was kept.

    Args:
        attempts: in order.
        best: the one that is the answer.
        why: it ended.
    """
    told = [f"{_many(len(attempts))} made, one after the other."]
    for place, one in enumerate(attempts, 1):
        asked = "" if one.revises is None else f", asked to mend {one.revises.name},"
        said = f"said:\n{_cut(one.chain.attempt(), LONGEST)}" if one.answered else f"gave no answer ({_why(one)})."
        told.append(f"Attempt {place} ({one.name}){asked} {said}")
        told += [f"{found.by} says of {one.name}: {_cut(found.said, LONGEST)}" for found in one.verified]
    told.append(
        f"The answer is that of {best.name}: {_cut(best.answer, LONGEST)}. {kept(attempts, best).capitalize()}."
    )
    return "\n".join([*told, f"It ended there: {why}."])


def summary(attempts: Sequence[Attempt], best: Attempt, why: str) -> str:
    """The trail in a few plain sentences, written by no model; arguments as of `trail`."""
    told = []
    for one in attempts:
        if not one.answered:
            told.append(f"{one.name.capitalize()} gave no answer.")
            continue
        told.append(f"{one.name.capitalize()} answered {_line(one.answer)}.")
        told += [f"Of it, {found.by} says: {_line(found.said)}." for found in one.verified]
    which = f"The answer is that of {best.name}" if best.answered else "There is no answer"
    return " ".join([*told, f"{which}: {reason(attempts, best, why)}."])


def kept(attempts: Sequence[Attempt], best: Attempt) -> str:
    """Why an attempt is the answer."""
    if not best.answered:
        return "no attempt gave an answer"
    if best.passed:
        return "it passed"
    rivals = [one for one in attempts if one is not best and one.answered]
    if not rivals:
        return "it is the only one"
    level = any(one.rank == best.rank for one in rivals)
    return "none was found better, and it came first" if level else "less was found against it than against the others"


def reason(attempts: Sequence[Attempt], best: Attempt, why: str) -> str:
    """Why an attempt is the answer, and why there was no further one."""
    first = kept(attempts, best)
    return first if first == why else f"{first}; it ended because {why}"


def held(text: str, record: str) -> tuple[str, list[str]]:
    """What of a text may be told of a record: the sentences that name nothing which the record does not hold.

    A sentence is dropped where the record has not got one of its numbers, written in digits or as a word, one of its
    equations, what it quotes, one of its names (a capitalised word within a sentence), or a link. What is true and what
    follows from what is not looked at.

    Args:
        text: as a model wrote it.
        record: the trail.

    Returns:
        The sentences that may stand, and those that were dropped.
    """
    known = _Known(record)
    sentences = [one.group().strip() for one in _SENTENCE.finditer(_ITEM.sub("", text[:MOST]))]
    sentences = [one for one in sentences if re.search(r"\w", one)]
    fit = [known.holds(one) for one in sentences]
    stand = [one for one, ok in zip(sentences, fit, strict=True) if ok]
    return " ".join(stand), [one for one, ok in zip(sentences, fit, strict=True) if not ok]


class _Known:
    """What a record holds."""

    def __init__(self, record: str) -> None:
        self._record, self._flat, self._dense = record, _flat(record), _dense(record)
        self._words = set(re.findall(r"[\w-]+", record.casefold()))
        self._numbers = {one for signed in _numbers(record) for one in (signed, signed.lstrip("-"))}

    def holds(self, sentence: str) -> bool:
        """Whether it has all that a sentence names."""
        quoted = (next(filter(None, one.groups())) for one in _QUOTED.finditer(sentence))
        words = [one.casefold() for one in re.findall(r"[^\W\d_]+", sentence)]
        return (
            all(one in self._numbers for one in _numbers(sentence))
            and all(_WORDS[one] in self._numbers or one in self._words for one in words if one in _WORDS)
            and all(one in self._record for one in sentence if one.isnumeric() and not one.isdecimal())
            and all(_flat(one).strip(" .,;:!?") in self._flat for one in quoted)
            and all(self._claims(one) for one in _equations(sentence))
            and all(one[1].casefold() in self._words for one in _NAME.finditer(sentence))
            and all(one.group().rstrip(".,;:!?)") in self._record for one in _LINK.finditer(sentence))
        )

    def _claims(self, equation: str) -> bool:
        return re.search(rf"(?<![\d.]){re.escape(equation)}(?!\.?\d)", self._dense) is not None


def _equations(text: str) -> list[str]:
    """What stands between numbers with signs of equality in it, without blanks."""
    parts = [part for run in _SIGNS.findall(text) if "=" in run for part in re.split(r"[.,]\s", run)]
    return [one for one in map(_bare, parts) if re.search(r"\d\)*=\(*-?\d", one)]


def _bare(part: str) -> str:
    """An equation without blanks, and without the punctuation and the brackets around it."""
    one = _dense(part).strip("=.,")
    if one.startswith("(") and one.endswith(")"):
        return one[1:-1]
    return one.removeprefix("(") if one.count("(") > one.count(")") else one


def _numbers(text: str) -> list[str]:
    """The numbers in a text, written in one way; a sign counts where it is no subtraction."""
    found = []
    for one in _NUMBER.finditer(text):
        whole, _, part = one.group().replace(",", "").partition(".")
        before = text[max(0, one.start() - 2) : one.start()]
        signed = before[-1:] in ("-", "−") and (len(before) < 2 or not (before[0].isalnum() or before[0] == ")"))
        digits = (whole.lstrip("0") or "0") + (f".{part.rstrip('0')}" if part.rstrip("0") else "")
        found.append(f"-{digits}" if signed else digits)
    return found


def _flat(text: str) -> str:
    return " ".join(text.casefold().split())


def _dense(text: str) -> str:
    """A text without blanks, its signs written in one way."""
    return re.sub(r"\s", "", text).translate(str.maketrans("×÷−", "*/-"))


def _many(count: int) -> str:
    return "1 attempt was" if count == 1 else f"{count} attempts were"


def _why(one: Attempt) -> str:
    abstention = one.candidate.abstention
    return "nothing was said" if abstention is None else abstention.kind


def _line(text: str) -> str:
    return _cut(" ".join(text.split()), SHORT).rstrip(".")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
