"""A small grammar of written calculations: what `3 apples + 4 apples`, `15% of 80` or `2^3` come to, exactly.

sum = product (("+" | "-") product)*; product = signed (("×" | "/" | "of" | "mod") signed)*;
signed = "-" signed | power; power = postfix ("^" signed)?; postfix = operand ("!" | "%" | "squared")* unit?;
operand = number | "(" sum ")" | root operand | "half of" operand | "twice" operand | "sum of" sum ("," sum)* "and" sum.
Nothing is evaluated but this; powers, factorials, lengths and depths are bounded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Context, Decimal
from fractions import Fraction

from rtk.answers.formulas import END, OVER, Token
from rtk.answers.units import LETTERS, NO_UNIT, PREPOSITIONS, head_of
from rtk.answers.wording import ARTICLES, BEGINNINGS, FOLDS, LISTS, NOUNS, NUMERALS, PARTS, PHRASES, POWERS, VERBS

LONGEST = 200  # characters of one side of a claim
DEEPEST = 20  # parentheses within parentheses
MOST_BITS = 10_000  # of a power
LARGEST_FACTORIAL = 200
UNIT_WORDS = 6

_TIMES = frozenset("*×·")


class Unreadable(ValueError):
    """No calculation, or none that can be read for certain."""


@dataclass
class Side:
    """One side of a claim, read.

    Attributes:
        value: what it comes to.
        end: the token behind it.
        operations: how many calculations it holds; 0 for a number as it stands.
        units: the units in it, each as its head and the whole of it.
        literals: its numbers as written.
        percents: how many of its numbers are percentages.
        mixed: whether unlike things are added: other units, or percentages and plain numbers.
        first: its first number, and the token behind that.
    """

    value: Fraction = Fraction(0)
    end: int = 0
    operations: int = 0
    units: list[tuple[str, str]] = field(default_factory=list)
    literals: list[str] = field(default_factory=list)
    percents: int = 0
    mixed: bool = False
    first: tuple[Fraction, int] | None = None


def read(found: list[Token], start: int, stop: int) -> Side:
    """The calculation that begins at a token, as far as it goes, and no further than `stop`.

    Raises:
        Unreadable: where there is none, or it goes on with something that cannot be read.
    """
    try:
        return _Reader(found, start, stop).side()
    except (ZeroDivisionError, OverflowError, IndexError, RecursionError) as error:
        raise Unreadable(str(error)) from error


class _Reader:
    """A reading under way."""

    def __init__(self, found: list[Token], start: int, stop: int) -> None:
        self.tokens, self.at, self.stop, self.depth = found, start, stop, 0
        self.read = Side()

    def side(self) -> Side:
        self.read.value = self.sum()
        self.read.end = self.at
        return self.read

    def look(self, ahead: int = 0) -> Token:
        at = self.at + ahead
        return self.tokens[at] if at < self.stop else END

    def operator(self) -> tuple[str, int]:
        """The operator here, as a sign, and how many tokens it takes; an empty one where there is none."""
        here = self.look()
        if here.kind == "op":
            sign = "×" if here.text in _TIMES else "/" if here.text in OVER else here.text
            return sign, 1
        if here.kind == "word" and here.text.lower() in BEGINNINGS:
            for words, sign in PHRASES.items():
                if all(self.look(i).is_word(word) for i, word in enumerate(words)):
                    return sign, len(words)
        return "", 0

    def sum(self) -> Fraction:
        self.depth += 1
        if self.depth > DEEPEST:
            raise Unreadable("too many parentheses")
        terms: list[tuple[frozenset[str], bool]] = []
        value = self.term(terms)
        while (found := self.operator())[0] in ("+", "-"):
            sign, width = found
            if sign == "-" and self.dashes():
                break
            self.at += width
            self.read.operations += 1
            value += self.term(terms) if sign == "+" else -self.term(terms)
        self.depth -= 1
        united = [heads for heads, _ in terms if heads]
        self.read.mixed = self.read.mixed or any(not (one & united[0]) for one in united)
        self.read.mixed = self.read.mixed or len({percent for _, percent in terms}) > 1
        return value

    def dashes(self) -> bool:
        """Whether the minus here is a dash between words."""
        here, next_ = self.look(), self.look(1)
        before = self.tokens[self.at - 1]
        return here.kind == "op" and before.end < here.start and next_.start > here.end and next_.kind == "word"

    def term(self, terms: list[tuple[frozenset[str], bool]]) -> Fraction:
        units, percents, operations = len(self.read.units), self.read.percents, self.read.operations
        value = self.product()
        heads = frozenset(head for head, _ in self.read.units[units:])
        terms.append((heads, self.read.percents > percents and self.read.operations == operations))
        return value

    def product(self) -> Fraction:
        begun, before = self.at, self.read.percents
        value = self.signed()
        while (found := self.operator())[0] in ("×", "/", "of", "mod"):
            sign, width = found
            if sign == "of" and not (self.read.percents > before or self.part_since(begun)):
                raise Unreadable("of what is no part")
            self.at += width
            self.read.operations += 1
            while sign == "of" and self.look().is_word(*ARTICLES):
                self.at += 1
            value = _applied(sign, value, self.signed())
        return value

    def part_since(self, begun: int) -> bool:
        """Whether what was read is a fraction such as 2/3."""
        kinds = [one.kind for one in self.tokens[begun : self.at]]
        return kinds == ["num", "op", "num"] and self.tokens[begun + 1].text == "/"

    def signed(self) -> Fraction:
        if self.look().text in ("-", "+") and self.look().kind == "op":
            negative = self.look().text == "-"
            self.at += 1
            if negative and self.look(1).text in ("^", "**"):
                raise Unreadable("a sign before a power")
            self.depth += 1
            if self.depth > DEEPEST:
                raise Unreadable("too many signs")
            fresh = self.read.first is None
            value = self.signed()
            self.depth -= 1
            if negative and fresh and self.read.first is not None:
                self.read.first = (-self.read.first[0], self.read.first[1])
            return -value if negative else value
        return self.power()

    def power(self) -> Fraction:
        value = self.postfix()
        if self.look().text in ("^", "**") and self.look().kind == "op":
            self.at += 1
            self.read.operations += 1
            self.depth += 1
            if self.depth > DEEPEST:
                raise Unreadable("too many powers")
            value = _raised(value, self.signed())
            self.depth -= 1
            self.unit()
        return value

    def postfix(self) -> Fraction:
        value = self.operand()
        while True:
            here = self.look()
            if here.text == "!" and here.kind == "op" and here.start == self.tokens[self.at - 1].end:
                value = _factorial(value)
            elif here.text == "%" or here.is_word("percent"):
                if self.look(1).kind == "num":
                    raise Unreadable("a percentage or a remainder")
                value /= 100
                self.read.percents += 1
                self.read.operations -= 1
            elif here.is_word(*POWERS):
                value = _raised(value, Fraction(POWERS[here.text.lower()]))
            else:
                break
            self.read.operations += 1
            self.at += 1
        self.unit()
        if self.read.first is None:
            self.read.first = (value, self.at)
        return value

    def operand(self) -> Fraction:
        here = self.look()
        if here.kind == "num":
            return self.number()
        if here.text == "(" and here.kind == "op":
            self.at += 1
            value = self.sum()
            if self.look().text != ")":
                raise Unreadable("a parenthesis stays open")
            self.at += 1
            return self.followed(value)
        if here.kind == "word" or here.text == "√":
            return self.worded()
        raise Unreadable(f"{here.text!r} is no number")

    def number(self) -> Fraction:
        literal = self.look().text
        self.at += 1
        self.read.literals.append(literal)
        value = Fraction(literal.replace(",", ""))
        above, slash, below = self.look(), self.look(1), self.look(2)
        if above.kind == below.kind == "num" and slash.text == "/" and above.text.isdigit() and below.text.isdigit():
            if int(above.text) >= int(below.text) or not literal.isdigit() or above.end != slash.start:
                raise Unreadable("two numbers without a sign between them")
            self.at += 3  # 1 1/2
            self.read.operations += 1
            return value + Fraction(int(above.text), int(below.text))
        return self.followed(value)

    def followed(self, value: Fraction) -> Fraction:
        """A number or parenthesis times the parenthesis that touches it."""
        before, here = self.tokens[self.at - 1], self.look()
        if here.text == "(" and here.kind == "op" and here.start == before.end:
            if self.at > 1 and any(one.text in OVER for one in self.tokens[max(0, self.at - 3) : self.at]):
                raise Unreadable("divided by a product without a sign")
            self.read.operations += 1
            return value * self.operand()
        return value

    def worded(self) -> Fraction:
        here = self.look()
        word = here.text.lower()
        if word in NUMERALS:
            self.at += 1
            return Fraction(NUMERALS[word])
        self.read.operations += 1
        if word in ("sqrt", "√") or (word == "square" and self.look(1).is_word("root") and self.look(2).is_word("of")):
            self.at += 3 if word == "square" else 1
            return _root(self.operand())
        if self.look().is_word("a", "one") and self.look(1).is_word(*PARTS):
            self.at += 1
            word = self.look().text.lower()
        if word in PARTS and self.look(1).is_word("of"):
            self.at += 2
            return PARTS[word] * self.operand()
        if word in FOLDS:
            self.at += 1
            return FOLDS[word] * self.operand()
        if word in VERBS:
            self.at += 1
            return self.told(*VERBS[word])
        if word in LISTS and self.look(1).is_word("of", "between"):
            self.at += 2
            return self.listed(word)
        raise Unreadable(f"{word!r} is no number")

    def told(self, sign: str, links: tuple[str, ...]) -> Fraction:
        """What an instruction comes to: `adding 3 and 4`, `divide 12 by 4`, `subtract 3 from 10`."""
        while self.look().is_word(*ARTICLES, "two", *NOUNS):
            self.at += 1
        before = self.read.operations
        value = self.sum()
        if not (self.look().is_word(*links) or (sign == "+" and self.look().text == ",")):
            if self.read.operations == before:
                raise Unreadable("one number")
            return value
        while self.look().is_word(*links) or (sign == "+" and self.look().text == ","):
            if self.look().is_word("to") and self.look(1).is_word("get", "obtain"):
                break
            self.at += 2 if self.look().text == "," and self.look(1).is_word("and") else 1
            other = self.sum()
            value = other - value if sign == "-" else value + other if sign == "+" else _applied(sign, value, other)
        return value

    def listed(self, kind: str) -> Fraction:
        values = [self.sum()]
        while self.look().text == "," or self.look().is_word("and"):
            self.at += 2 if self.look().text == "," and self.look(1).is_word("and") else 1
            values.append(self.sum())
        if len(values) == 1 and kind in ("average", "mean"):
            raise Unreadable("of one")
        if kind == "difference":
            if len(values) > 2:
                raise Unreadable("a difference of many")
            return abs(values[0] - values[1]) if len(values) == 2 else values[0]
        if kind == "product":
            return Fraction(math.prod(values))
        return sum(values, Fraction(0)) / (len(values) if kind in ("average", "mean") else 1)

    def unit(self) -> None:
        """Words behind a number, up to the next operator: its unit; notes in parentheses are passed over."""
        words: list[str] = []
        while len(words) < UNIT_WORDS:
            here, next_ = self.look(), self.look(1)
            if self.names(here, words):
                words.append(here.text.lower())
                self.at += 1
            elif words and here.text in ("/", "*") and next_.kind == "word" and next_.text.lower() not in NUMERALS:
                words.append("per")
                self.at += 1
            elif words and here.text == "^" and next_.kind == "num" and next_.text in ("2", "3"):
                words[-1] += f"^{next_.text}"
                self.at += 2
            elif here.text == "(" and (width := self.note()):
                self.at += width
            else:
                break
        if words and words[-1] == "per":
            raise Unreadable("per what")
        if words:
            self.read.units.append((head_of(words), " ".join(words)))

    def names(self, here: Token, words: list[str]) -> bool:
        """Whether a word is part of a unit."""
        word = here.text.lower()
        if here.kind != "word" or word in NO_UNIT or word in NUMERALS:
            return False
        if not words and (word == "of" or word in PREPOSITIONS):
            return False
        return len(here.text) > 1 or here.text in LETTERS

    def note(self) -> int:
        """How many tokens a note such as `(in total)` takes; 0 where there is none."""
        for width in range(1, 10):
            token = self.look(width)
            if token.text == ")":
                return width + 1 if width > 1 else 0
            if token.kind != "word" and token.text not in ("'", ",", "/"):
                return 0
        return 0


def _applied(sign: str, value: Fraction, other: Fraction) -> Fraction:
    if sign == "mod":
        if value.denominator != 1 or other.denominator != 1 or other <= 0:
            raise Unreadable("a remainder of what is not whole")
        return value % other
    return value / other if sign == "/" else value * other


def _raised(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent == Fraction(1, 2):
        return _root(base)
    size = max(base.numerator.bit_length(), base.denominator.bit_length())
    if exponent.denominator != 1 or abs(exponent) > MOST_BITS or size * abs(exponent) > MOST_BITS:
        raise Unreadable("a power out of bounds")
    return base ** int(exponent)


def _factorial(value: Fraction) -> Fraction:
    if value.denominator != 1 or not 0 <= value <= LARGEST_FACTORIAL:
        raise Unreadable("a factorial out of bounds")
    return Fraction(math.factorial(int(value)))


def _root(value: Fraction) -> Fraction:
    """The square root: exact where it is rational, else to 40 digits."""
    if value < 0 or max(value.numerator.bit_length(), value.denominator.bit_length()) > MOST_BITS:
        raise Unreadable("a root out of bounds")
    above, below = math.isqrt(value.numerator), math.isqrt(value.denominator)
    if above**2 == value.numerator and below**2 == value.denominator:
        return Fraction(above, below)
    context = Context(prec=40)
    return Fraction(context.sqrt(context.divide(Decimal(value.numerator), Decimal(value.denominator))))
