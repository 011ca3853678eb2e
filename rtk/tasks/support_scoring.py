"""When an answer to a customer's question is right: facts that it must hold, figures that it must not, and silence.

Texts are compared as words: case, punctuation and articles do not count, numbers are compared as numbers with their
units (`£2.20` is `220 pence`, `600 W` is `0.6 kW`, `twenty-eight days` is `28 days`), and times of day as times.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache

MOST_WORDS = 80  # of an answer; the longest pair has 50, and three passages copied out have more
START = "^"
SMALL = {word: i for i, word in enumerate((
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
))}  # fmt: skip
TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
# What a unit may be called, by what it is counted in and how many of that it is.
CALLED = {
    ("pence", Fraction(100)): "pounds pound quid gbp",
    ("pence", Fraction(1)): "pence penny p",
    ("kw", Fraction(1)): "kw kilowatt kilowatts",
    ("kw", Fraction(1, 1000)): "w watt watts",
    ("kwh", Fraction(1)): "kwh",
    ("hour", Fraction(1)): "hour hours h hr hrs",
    ("minute", Fraction(1)): "minute minutes min mins",
    ("second", Fraction(1)): "second seconds sec secs s",
    ("day", Fraction(1)): "day days",
    ("week", Fraction(1)): "week weeks",
    ("month", Fraction(1)): "month months",
    ("year", Fraction(1)): "year years",
    ("metre", Fraction(1)): "metre metres meter meters m",
    ("cm", Fraction(1)): "cm centimetre centimetres centimeter centimeters",
    ("volt", Fraction(1)): "volt volts v",
    ("ghz", Fraction(1)): "ghz gigahertz",
    ("decibel", Fraction(1)): "decibel decibels db",
    ("degree", Fraction(1)): "degree degrees",
    ("percent", Fraction(1)): "percent",
}
UNITS = {word: unit for unit, words in CALLED.items() for word in words.split()}
COUNTED = frozenset(unit for unit, _ in CALLED)
CONTRACTED = ((re.compile(r"\bcannot\b|\bcan't\b"), "can not"), (re.compile(r"n't\b"), " not"))
REWRITTEN = CONTRACTED + tuple(
    (re.compile(pattern), by)
    for pattern, by in (
        (r"\[\s*\d+(?:\s*[,;–-]\s*\d+)*\s*\]", " "),  # the number of a passage, cited
        (r"\b(no|not|yes)\s*[,.;:!–—]", r"\1 | "),  # "no, 18 hours" does not deny the 18 hours
        (r"£\s*(\d[\d,]*(?:\.\d+)?)", r"\1 pounds"),
        (r"%|\bper cent\b", " percent "),
        (r"°\s*c?\b|\bdegrees c(?:elsius)?\b", " degrees "),
        (r"\bkilowatt[- ]hours?\b|\bkw h\b", " kwh "),
        (r"\b([a-z])-(?=\d)", r"\1"),  # F-11 is F11
        (r"(?<=\d)(?:st|nd|rd|th)\b", " "),
        (r"(?<=\d)\s*[–—-]\s*(?=\d)", " to "),
    )
)
CLOCK = re.compile(r"\b(\d{1,2})(?:[:.](\d\d))?\s?([ap])\.?m\b\.?")
TOKEN = re.compile(r"\d{1,2}:\d\d|\b[a-z]\d+\b|(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+|[^\W\d_]+|\|")
NUMBER = re.compile(r"\d+(?:/\d+)?")
ARTICLES = frozenset({"a", "an", "the", "of"})
DENYING = frozenset({"no", "not", "never", "neither", "nor"})
JOINING = frozenset({"or", "to", "and", "|"})
BETWEEN = frozenset({"working", "business", "full", "more", "further", "whole", "hundred"})

KNOWS_NOT = re.compile(
    r"\b(?:do|does|can|could|am|are|is) not (?:able to )?(?:know|say|tell|answer|find)\b"
    r"|\bunable to (?:say|tell|answer|find)\b"
    r"|\b(?:do|does|is|are) not (?:have |contain |give |provide |include )?(?:any |enough |that |this |the |an )?"
    r"(?:information|answer|details|mentioned|stated|given|provided|specified|listed|known)\b"
    r"|\b(?:context|passages?|faq|documents?|text) (?:do|does) not (?:mention|say|state|specify|cover|contain|tell)\b"
    r"|\bno (?:information|answer|details|idea)\b|\bunknown\b|\bunanswerable\b|\bnot known\b"
    r"|\b(?:hand|pass)(?:ed|ing)? (?:this|it|that|you|your question|your request) (?:over|on|to)\b"
    r"|\b(?:colleague|person|human|adviser|advisor|member of (?:our |the )?(?:staff|team)) (?:will|can|must|has to)\b"
)
POLITE = re.compile(
    r"(?:i am |i'm |we are |we're )?(?:very |so )?sorry(?: about that| for that)?|unfortunately|thank you.{0,40}|"
    r"my apologies|apologies|(?:please )?(?:contact|ask|call|ring|speak to|talk to) (?:our |the |a |us|tarnlight|"
    r"customer|support).{0,60}"
)
GUESSING = re.compile(r"\b(?:probably|maybe|perhaps|likely|usually|typically|generally|should be|i think|i guess)\b")
NOTHING = frozenset({"none", "n/a", "na", "null", "idk", "no answer"})


# --- words ------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def words_of(text: str) -> tuple[str, ...]:
    """The words of a text as they are compared; a number with a unit becomes two words, the number first."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    for pattern, by in REWRITTEN:
        text = pattern.sub(by, text)
    found = TOKEN.findall(CLOCK.sub(_on_the_clock, text))
    return tuple(_in_units([_number(word) for word in _compounds(found) if word not in ARTICLES]))


def _on_the_clock(found: re.Match[str]) -> str:
    hour = int(found[1]) % 12 + 12 * (found[3] == "p")
    return f" {hour}:{found[2] or '00'} "


def _compounds(words: Iterable[str]) -> Iterator[str]:
    """Numbers in words as digits: `twenty eight` is one number."""
    tens = 0
    for word in words:
        small = SMALL.get(word, 0)
        if tens and not 0 < small < 10:
            yield str(tens)
        if word in TENS:
            tens = TENS[word]
            continue
        if word in SMALL:
            word = str(tens + small) if small < 10 else str(small)
        tens = 0
        yield word
    if tens:
        yield str(tens)


def _number(word: str) -> str:
    """A number in its one form; a time of day without its leading zero; other words as they are."""
    if ":" in word:
        return word.removeprefix("0") if word[1] != ":" else word
    bare = word.replace(",", "")
    return str(Fraction(bare)) if re.fullmatch(r"\d*\.?\d+", bare) else word


def _in_units(words: Sequence[str]) -> Iterator[str]:
    """The same with units by one name, and the numbers before them to match."""
    for i, word in enumerate(words):
        following = words[i + 1] if i + 1 < len(words) else ""
        counted = i > 0 and NUMBER.fullmatch(words[i - 1])
        if NUMBER.fullmatch(word) and following in UNITS:
            yield str(Fraction(word) * UNITS[following][1])
        elif word in UNITS and (counted or len(word) > 3):
            yield UNITS[word][0]
        else:
            yield word


def amounts_in(words: Sequence[str]) -> set[tuple[str, str]]:
    """Every number with its unit; in `3 or 4 hours` both numbers have it."""
    found = set()
    for i, word in enumerate(words):
        if word not in COUNTED:
            continue
        at = i - 1
        while at >= 0 and words[at] in BETWEEN:
            at -= 1
        while at >= 0 and NUMBER.fullmatch(words[at]):
            found.add((words[at], word))
            at -= 2 if at >= 2 and words[at - 1] in JOINING else 1
    return found


# --- facts ------------------------------------------------------------------------------------------------------


def holds(words: Sequence[str], alternatives: Iterable[str]) -> bool:
    """Whether a text says one of some alternatives and does not deny it in the same breath.

    Args:
        words: of the text.
        alternatives: as they are written; `"^ no"` is a `no` with which the text begins.
    """
    text = (START, *words)
    return any(_says(text, alternative) for alternative in alternatives)


def _says(text: Sequence[str], alternative: str) -> bool:
    wanted = words_of(alternative)
    if alternative.startswith(START):
        return tuple(text[1 : 1 + len(wanted)]) == wanted
    places = range(1, len(text) - len(wanted) + 1)
    return any(tuple(text[i : i + len(wanted)]) == wanted and text[i - 1] not in DENYING for i in places)


def right(answer: str, facts: Sequence[Sequence[str]], wrong: Sequence[str], known: Sequence[str]) -> bool:
    """Whether an answer has every fact and nothing that goes against them.

    Args:
        answer: as it was given, of at most 80 words: more is a listing and answers nothing.
        facts: what it must hold: of each fact one of its alternatives.
        wrong: what it must not hold.
        known: texts whose amounts may be named besides. An amount in the unit of a fact that is in none of them goes
            against the fact, so `3 or 4 hours` is wrong where 3 hours are right.
    """
    words = words_of(answer)
    if len(answer.split()) > MOST_WORDS or holds(words, wrong):
        return False
    if not facts or not all(holds(words, alternatives) for alternatives in facts):
        return False
    asked = {amount for alternatives in facts for one in alternatives for amount in amounts_in(words_of(one))}
    units = {unit for _, unit in asked}
    named = {amount for amount in amounts_in(words) if amount[1] in units}
    return not named - asked - {amount for text in known for amount in amounts_in(words_of(text))}


def within(answer: str, whole: str) -> bool:
    """Whether one text, of any words, is all in another that is no listing."""
    if len(whole.split()) > MOST_WORDS:
        return False
    wanted = " ".join(words_of(answer))
    return bool(wanted) and f" {wanted} " in f" {' '.join(words_of(whole))} "


# --- silence ----------------------------------------------------------------------------------------------------


def abstains(question: str, answer: str) -> bool:
    """Whether an answer says that it knows none, or hands over, and says nothing else.

    Every sentence of it must say so or be polite, and at least one must say so; a guess after it, or a figure that
    the question has not, makes it an answer.
    """
    text = unicodedata.normalize("NFKC", answer).casefold().replace("’", "'")
    if text.strip(" .!\"'") in NOTHING:
        return True
    for pattern, by in CONTRACTED:
        text = pattern.sub(by, text)
    figures = {word for word in words_of(answer) if NUMBER.fullmatch(word)} - {"1"}  # no one knows
    if GUESSING.search(text) or figures - set(words_of(question)):
        return False
    parts = [part.strip(" \"'*-–—:") for part in re.split(r"[.!?;,\n]+|\b(?:but|however|although|though|so)\b", text)]
    said = [bool(KNOWS_NOT.search(part)) for part in parts if part and not POLITE.fullmatch(part)]
    return bool(said) and all(said)
