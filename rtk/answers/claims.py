"""Arithmetic and equality claims in a text, such as `3 + 4 = 7` or `1/2 = 50%`, found and evaluated."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from rtk.answers.calculation import LONGEST, Side, Unreadable, read
from rtk.answers.formulas import Token, divides, flat, tokens
from rtk.answers.numbers import write_number
from rtk.answers.units import MANY, SCALES, singular, words
from rtk.answers.wording import BITWISE, INTEGERS, OTHER_NUMBERS, REMAINDERS, WHOLES

EXACT = Fraction(1, 10**30)  # roots are known to 40 digits

_ROUNDED = re.compile(r"≈|round|approx|about|roughly|nearest|estimat|almost|nearly", re.IGNORECASE)
_DOUBT = re.compile(
    r"[\s,.;:)\-]{0,4}(?:(?:which|that|this|but|it|so)\s+){0,2}(?:(?:is|was|are|does|can)\s*)?(?:not\b|n't|never\b|wrong\b"
    r"|incorrect\b|false\b|impossible\b|a mistake\b|no\b(?!\.))|\s*\?",
    re.IGNORECASE,
)
_GROUPED = re.compile(r"[0-9]{1,3}\.[0-9]{3}")
_REPEATING = re.compile(r"\.[0-9]*(?:33|66|67|16|17|83|14|11|22|44|55|77|88|89)$")

_RELATIONS = (
    ("equals",), ("equal",), ("equaling",), ("is", "equal", "to"), ("is",), ("are",), ("gives",), ("gives", "us"),
    ("makes",), ("yields",), ("leaves",), ("comes", "to"), ("to", "get"), ("to", "obtain"), ("results", "in"),
    ("resulting", "in"), ("giving",), ("giving", "us"), ("we", "get"), ("you", "get"),
)  # fmt: skip
_BEGINNING = {first: [each for each in _RELATIONS if each[0] == first] for first in {each[0] for each in _RELATIONS}}
_ADVERBS = words("simply just exactly now also then thus therefore still")
_ROUGHLY = words("approximately about roughly around nearly almost")
_LABELS = words(
    "step day week part question problem example case room option equation page number no item line row figure year "
    "round turn method level chapter section rule month box game group team stage phase"
)
_UNSURE_AFTER = words(
    "of by from than negative half square squared root log between if whether suppose assume check not mod power by "
    "about"
)
_SPOILS = words(
    "remainder r rem mod modulo hundred thousand million billion trillion dozen times or percent squared cubed pm am "
    "plus minus multiplied divided"
)
_COMPARES = words("more less fewer greater larger smaller higher lower of away short off older younger")
_FACTORS = {Fraction(n) for n in (2, 3, 4, 5, 7, 10, 12, 16, 24, 25, 30, 36, 52, 60, 100, 365, 1000, 1760, 3600, 5280)}


@dataclass(frozen=True)
class Claim:
    """One claim.

    Attributes:
        text: the claim, `=` between its sides whatever stood there.
        ok: whether it holds. A decimal result may be rounded or cut at its last place.
        value: what its calculated side is (the left one, unless that is a number as it stands), exactly; a root that
            is no fraction, to 40 digits.
    """

    text: str
    ok: bool
    value: Fraction

    @property
    def reason(self) -> str:
        """What the calculated side is, for a reader: `3 × 14 is 42`."""
        left, _, right = self.text.partition("=")
        left, right = left.strip(), right.strip()
        side = left if _calculates(left) else right if _calculates(right) else ""
        if side:
            return f"{side} is {write_number(self.value)}"
        return f"{left} {'is' if self.ok else 'is not'} {right}"


def check_arithmetic(text: str) -> list[Claim]:
    """The arithmetic and equality claims in a text, each evaluated exactly; no model and no `eval` is asked.

    A claim is a calculation, a sign or word of equality (`=`, `≈`, `equals`, `is`, …), and a number or another
    calculation: sums, products, fractions, powers, factorials, roots, percentages (`15% of 80`), mixed numbers, LaTeX,
    the commonest phrases (`3 plus 4`, `half of 10`, `the sum of 3 and 4`), with or without units. In `1/2 = 0.5 = 50%`
    every sign is a claim; in `3 + 4 = 7 + 2 = 9`, sloppy but common, `3 + 4` is held against 7.

    What cannot be read for certain is no claim, so that no right step is called wrong: variables, anything of more
    than 200 characters, rounded results and inputs, mixed units, other number systems, guesses that are taken back,
    and what a division that is not even gives in whole things (`25 / 4 = 6 full boxes`, `25 / 4 = 6, remainder 1`).
    """
    text = flat(text)
    said = _Said(*(pattern.search(text) is not None for pattern in (REMAINDERS, INTEGERS, BITWISE)))
    found = (claim for line in text.split("\n") for claim in _in_line(line, said))
    return [claim for claim in found if not (said.bitwise and "^" in claim.text)]


def _calculates(side: str) -> bool:
    found = tokens(side)
    try:
        return read(found, 0, len(found)).operations > 0
    except Unreadable:
        return False


# --- claims ---


@dataclass(frozen=True, slots=True)
class _Relation:
    """A sign or word of equality: its tokens, and whether it is a word."""

    start: int
    end: int
    word: bool
    about: bool


@dataclass(frozen=True, slots=True)
class _Said:
    """What the whole text says of its arithmetic: that divisions leave a rest, drop it, or that `^` is no power."""

    remainders: bool
    integers: bool
    bitwise: bool


def _in_line(line: str, said: _Said) -> Iterator[Claim]:
    if not any(map(str.isdigit, line)):
        return
    found = tokens(line)
    relations = list(_relations(found))
    foreign, rounded = OTHER_NUMBERS.search(line) is not None and " mod " not in line, _ROUNDED.search(line) is not None
    for number, relation in enumerate(relations):
        begun = relations[number - 1].end if number else 0
        stop = relations[number + 1].start if number + 1 < len(relations) else len(found)
        claim = _claim(_Place(line, found, relation, begun, stop, number > 0, said, rounded))
        if claim is not None and (claim.ok or not foreign):
            yield claim


def _relations(found: list[Token]) -> Iterator[_Relation]:
    at = 0
    while at < len(found):
        one, width = found[at], 0
        if one.kind == "rel":
            yield _Relation(at, at + 1, False, one.text == "≈")
        elif one.kind == "word":
            named = _BEGINNING.get(one.text.lower(), ())
            width = max((len(each) for each in named if _here(found, at, each)), default=0)
            if width:
                end, about = at + width, False
                while end < len(found) and found[end].is_word(*_ADVERBS, *_ROUGHLY):
                    about, end = about or found[end].is_word(*_ROUGHLY), end + 1
                yield _Relation(_referred(found, at), end, True, about)
        at += max(width, 1)


def _referred(found: list[Token], at: int) -> int:
    """Where the left side of a word ends: before a comma and the `which` or `we` that speaks of it."""
    while at > 1 and (found[at - 1].text == "," or found[at - 1].is_word("which", "that", "this", "it", "us")):
        at -= 1
    return at


def _here(found: list[Token], at: int, words: tuple[str, ...]) -> bool:
    return all(at + i < len(found) and found[at + i].is_word(word) for i, word in enumerate(words))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a claim may be: a relation with the tokens before and behind it, as far as the next relations."""

    line: str
    tokens: list[Token]
    relation: _Relation
    begun: int
    stop: int
    chained: bool
    said: _Said
    rounded: bool

    def text(self, start: int, end: int) -> str:
        """What stands from one token up to another."""
        return " ".join(self.line[self.tokens[start].start : self.tokens[end - 1].end].split()) if end > start else ""


def _claim(place: _Place) -> Claim | None:
    found = _left_side(place)
    if found is None:
        return None
    start, left, sure = found
    try:
        right = read(place.tokens, place.relation.end, place.stop)
    except Unreadable:
        return None
    ends = _ending(place, right)
    if ends is None or not _worth(place, left, right):
        return None
    end = _shown_end(place, right, left)
    text = f"{place.text(start, place.relation.start)} = {place.text(place.relation.end, end)}"
    value = left.value if left.operations or not right.operations else right.value
    if _holds(place, left, right):
        return Claim(text, True, value)
    sure = sure and ends and _certainly_wrong(place, start, left, right) and not _doubted(place, start, right)
    return Claim(_first_only(place, start, right, text), False, value) if sure else None


def _first_only(place: _Place, start: int, right: Side, text: str) -> str:
    """Where the right side goes on as a sloppy chain, the claim is about its first number."""
    goes_on = place.stop < len(place.tokens) and right.end == place.stop and right.operations
    if not goes_on or right.first is None:
        return text
    return f"{place.text(start, place.relation.start)} = {place.text(place.relation.end, right.first[1])}"


def _left_side(place: _Place) -> tuple[int, Side, bool] | None:
    """The longest calculation that ends at the relation, where it begins, and whether that is certain."""
    found, stop = place.tokens, place.relation.start
    if stop <= place.begun:
        return None
    limit = found[stop - 1].end - LONGEST
    for start in range(place.begun, stop):
        if found[start].start < limit or not _may_begin(place, start):
            continue
        try:
            side = read(found, start, stop)
        except Unreadable:
            continue
        if side.end == stop:
            return start, side, _begins_surely(place, start, side)
    return None


def _may_begin(place: _Place, start: int) -> bool:
    """Whether a calculation may begin at a token, and not in the middle of one that cannot be read."""
    one = place.tokens[start]
    if one.kind in ("other", "rel") or (one.kind == "op" and one.text not in ("(", "-", "√", "+")):
        return False
    if start == 0 or start == place.begun:
        return one.text != "+"
    before = place.tokens[start - 1]
    touching = before.end == one.start
    if one.text in ("-", "+"):
        return one.text == "-" and before.text in (*":;,.([\"'“>", "→") and not touching
    if before.text == "(":
        return start < 2 or place.tokens[start - 2].end < before.start or place.tokens[start - 2].kind != "word"
    if before.kind == "num" or (before.kind == "op" and before.text != ")"):
        return False
    if before.is_word("plus", "minus", "times", "by", "over", "mod"):
        return before.text.lower() == "by" and not place.tokens[start - 2].is_word("multiplied", "divided")
    if before.kind == "other" and before.text[0].isalnum():
        return False
    return not touching or before.text in (*":;,([{\"'“‘—>|", "→")


def _begins_surely(place: _Place, start: int, side: Side) -> bool:
    if start == place.begun:
        return start == 0 or place.chained
    before = place.tokens[start - 1]
    word = before.text.lower()
    if word == "to" and start > 1 and place.tokens[start - 2].kind == "num":
        return False
    labelled = word in _LABELS or (word in ("#", "\\") and before.kind == "other")
    if before.kind == "word" and (word in _UNSURE_AFTER or labelled):
        total = word == "of" and place.tokens[start - 2].is_word("total", "sum", "result", "cost", "price", "value")
        return total and start > 1
    return before.kind != "word" or side.operations > 0


def _worth(place: _Place, left: Side, right: Side) -> bool:
    """Whether something is claimed: a calculation is, and one number in two forms; `5 = 6` is not."""
    if place.relation.word:
        return left.operations > 0
    return left.operations > 0 or right.operations > 0 or left.percents != right.percents


def _ending(place: _Place, right: Side) -> bool | None:
    """Whether the right side ends where it seems to; None where it goes on with what cannot be read."""
    found = place.tokens
    if found[right.end - 1].end - found[place.relation.end].start > LONGEST:
        return None
    if place.relation.word and any(_COMPARES.intersection(whole.split()) for _, whole in right.units):
        return False
    if right.end >= len(found) or right.end == place.stop or found[right.end].kind == "rel":
        return True
    last, after = found[right.end - 1], found[right.end]
    touching = last.end == after.start
    word = after.text.lower()
    if after.kind == "num":
        return None if last.kind == "num" else last.kind == "word" and singular(last.text.lower()) not in SCALES
    if after.kind == "op":
        return True if after.text in (")", "-", "*") or (after.text == "(" and not touching) else None
    if after.kind == "word":
        if len(word) == 1 and word not in ("a", "i", "r"):
            return None
        return not (word in _SPOILS or (place.relation.word and word in _COMPARES))
    return None if after.text in (*"_\\{[", "±", ":") and touching else True


def _shown_end(place: _Place, right: Side, left: Side) -> int:
    """Where the claim ends for a reader: without what is only prose behind its last number, unless there are units."""
    end = right.end
    if left.units:
        return end
    while end > place.relation.end + 1 and place.tokens[end - 1].kind == "word":
        end -= 1
    return end


# --- verdicts ---


def _holds(place: _Place, left: Side, right: Side) -> bool:
    literal = place.tokens[right.end - 1] if right.literals else None
    values = [right.value]
    if left.operations and right.first is not None and right.end == place.stop < len(place.tokens):
        values.append(right.first[0])
    if place.tokens[right.end - 1].text == "!" and len(right.literals) == right.operations == 1:
        values.append(Fraction(right.literals[0].replace(",", "")))  # perhaps only an exclamation
    if right.percents == 1 and not right.operations and not left.percents and "100" in left.literals:
        values.append(right.value * 100)  # 12/80 × 100 = 15%
    close = EXACT * max(1, abs(left.value))
    if literal is not None and any(abs(left.value - value) <= close for value in values):
        return True
    return any(_rounded(left.value, value, right, place) for value in values)


def _rounded(value: Fraction, number: Fraction, right: Side, place: _Place) -> bool:
    """Whether a result is the value, rounded or cut at its last decimal."""
    decimals = max((len(one.partition(".")[2]) for one in right.literals[:1]), default=0)
    hundredth = right.percents == 1 and number == right.value
    place_value = Fraction(1, 10**decimals) / (100 if hundredth else 1)
    if place.relation.about:
        return abs(value - number) <= max(place_value, abs(value) / 20)
    return bool(decimals) and len(right.literals) == 1 and abs(value - number) < place_value


def _certainly_wrong(place: _Place, start: int, left: Side, right: Side) -> bool:
    """Whether nothing but a mistake explains that the sides differ."""
    if left.mixed or right.mixed or _percents_doubtful(left, right) or _parted(place, right):
        return False
    if not left.operations and (left.units or right.units) and _heads(left) != _heads(right):
        return False
    if _in_wholes(place, start, left, right):
        return False
    off = abs(left.value - right.value)
    if place.relation.about and off <= abs(left.value) / 10:
        return False
    if place.rounded and off <= max(1, abs(left.value) / 20):
        return False
    return not (off <= _slack(left) or _converts(left, right) or _grouped(place, start, left, right))


def _in_wholes(place: _Place, start: int, left: Side, right: Side) -> bool:
    """Whether a division that is not even may be meant to give a whole number: 6 full boxes, or 6 and a remainder."""
    spans = (start, place.relation.start), (place.relation.end, right.end)
    left_span, right_span = (place.tokens[begin:end] for begin, end in spans)
    if place.said.integers and (divides(left_span, sums=True) or divides(right_span, sums=True)):
        return True
    side, number, span = (left, right, left_span) if left.operations else (right, left, right_span)
    if number.operations or number.percents or not divides(span, sums=False):
        return False
    if side.value.denominator == 1 or number.value not in (math.floor(side.value), math.ceil(side.value)):
        return False
    if left.units or right.units or place.said.remainders or _goes_on(place, right):
        return True
    near = place.tokens[start].start - LONGEST, place.tokens[right.end - 1].end + LONGEST
    return WHOLES.search(place.line, max(0, near[0]), near[1]) is not None


def _goes_on(place: _Place, right: Side) -> bool:
    """Whether the sentence goes on behind the right side's number with words or a number."""
    begun = place.relation.end
    signed = place.tokens[begun].kind == "op"
    for at in range(right.end if right.operations else begun + 1 + signed, len(place.tokens)):
        if place.tokens[at].kind in ("word", "num"):
            return True
        if place.tokens[at].text in (".", ";", "?") and place.tokens[at : at + 2][-1].text != ".":
            return False
    return False


def _percents_doubtful(left: Side, right: Side) -> bool:
    """Whether percentages leave a doubt: `15% of 80 = 12` and `30% + 20% = 50%` do not, `0.15 = 15` may be either."""
    if not (left.percents or right.percents):
        return False
    if left.value == 100 * right.value or right.value == 100 * left.value:
        return True
    pure = [one.percents == len(one.literals) for one in (left, right)]
    if all(pure) or (left.percents and left.operations and not right.percents):
        return False
    if left.percents or right.operations:
        return True
    return min(abs(left.value - right.value * scale) / scale for scale in (1, 100)) < Fraction(1, 100)


def _parted(place: _Place, right: Side) -> bool:
    """Whether an amount goes on in a further unit: `1 hour and 15 minutes`."""
    behind = place.tokens[right.end : place.stop]
    if right.units and not any(set(map(singular, whole.split())) & SCALES.keys() for _, whole in right.units):
        return False
    return place.stop == len(place.tokens) and len(behind) > 1 and behind[0].is_word("and") and behind[1].kind == "num"


def _heads(side: Side) -> set[str]:
    return {head for head, _ in side.units}


def _slack(left: Side) -> Fraction:
    """How far off a result may be because the numbers it is calculated from look rounded."""
    relative, absolute = Fraction(0), Fraction(0)
    for literal in left.literals:
        decimals = len(literal.partition(".")[2])
        number = abs(Fraction(literal.replace(",", "")))
        if number and (decimals >= 3 or (decimals == 2 and _REPEATING.search(literal))):
            half = Fraction(1, 10**decimals)
            relative, absolute = relative + half / number, absolute + half
    return max(absolute, abs(left.value) * relative)


def _converts(left: Side, right: Side) -> bool:
    """Whether units may explain the difference: two of a kind, such as minutes and hours, or words for a number."""
    words = [set(map(singular, whole.replace("^2", "").split())) for _, whole in (*left.units, *right.units)]
    known = set().union(*words) if words else set()
    if known & MANY:
        return True
    scales = {SCALES[one] for one in known if one in SCALES}
    if len(scales) > len({kind for kind, _ in scales}):
        return True
    if not scales or not left.value or not right.value:
        return False
    ratio = abs(left.value / right.value)
    return max(ratio, 1 / ratio) in _FACTORS and not (_heads(left) & _heads(right))


def _grouped(place: _Place, start: int, left: Side, right: Side) -> bool:
    """Whether it holds once dots are read as standing between thousands, as in 1.000 + 234 = 1.234."""
    dotted = [one for one in (*left.literals, *right.literals) if "." in one]
    if not dotted or not all(_GROUPED.fullmatch(one) for one in dotted):
        return False
    whole = [replace(one, text=one.text.replace(".", "")) if one.kind == "num" else one for one in place.tokens]
    sides = read(whole, start, place.relation.start), read(whole, place.relation.end, place.stop)
    return sides[0].value == sides[1].value


def _doubted(place: _Place, start: int, right: Side) -> bool:
    """Whether the text takes the claim back, asks it, or only supposes it."""
    end = place.tokens[right.end - 1].end
    return _DOUBT.match(place.line, end) is not None
