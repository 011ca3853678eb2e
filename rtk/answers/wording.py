"""Words that calculate: how `plus`, `half of`, `twice`, `the sum of` and `divide … by` are read in a calculation.

And the remarks that tell how a calculation is meant: in other numbers, in whole ones, with a remainder, on bits.
"""

from __future__ import annotations

import re
from fractions import Fraction

from rtk.answers.units import words

PHRASES = {  # operators in words
    ("plus",): "+", ("minus",): "-", ("times",): "×", ("multiplied", "by"): "×", ("divided", "by"): "/",
    ("mod",): "mod", ("modulo",): "mod", ("of",): "of",
}  # fmt: skip
BEGINNINGS = frozenset(phrase[0] for phrase in PHRASES)
PARTS = {"half": Fraction(1, 2), "third": Fraction(1, 3), "quarter": Fraction(1, 4)}
FOLDS = {"twice": 2, "double": 2, "triple": 3}
POWERS = {"squared": 2, "cubed": 3}
LISTS = ("sum", "product", "difference", "average", "mean")
VERBS = {
    verb: (sign, tuple(links.split()))
    for verbs, sign, links in (
        ("add adding", "+", "and to with"), ("subtract subtracting", "-", "from"),
        ("multiply multiplying", "×", "by"), ("divide dividing", "/", "by"),
    )
    for verb in verbs.split()
}  # fmt: skip
NOUNS = ("numbers", "fractions", "values", "amounts", "terms", "integers", "decimals", "digits")
_SMALL = ("zero one two three four five six seven eight nine ten", "eleven twelve thirteen fourteen fifteen sixteen")
NUMERALS = {word: number for number, word in enumerate(" ".join(_SMALL).split())} | {
    "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60,
    "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
ARTICLES = words("the these those all a an his her their its your my our")
DIVIDING = words("divided divide dividing half halve third quarter")
OTHER_NUMBERS = re.compile(
    r"\b(?:binary|hexadecimal|octal|modul\w+|mod|o'clock|clock|base[- ][0-9]+|overflow\w*|wrap\w* ?around"
    r"|[0-9]+-bit)\b",
    re.IGNORECASE,
)
_LANGUAGE = r"\b[Ii]n (?:C(?!\w)|Java|JavaScript|Python|Rust|Go|Ruby)(?![\w'’])"
REMAINDERS = re.compile(r"\bremainder|\bleft[- ]?over|\bquotient", re.IGNORECASE)
INTEGERS = re.compile(
    r"(?i:\b(?:integer|floor|whole[- ]number|euclidean)[- ](?:division|arithmetic|quotient|math)|\btruncat|\bfloored"
    rf"|\bint(?:eger)?s? divi)|{_LANGUAGE}"
)
BITWISE = re.compile(rf"(?i:\bxor|\bbit-?wise|\bexclusive[- ]or\b|⊕)|{_LANGUAGE}")
WHOLES = re.compile(
    r"\b(?:left|rest|spare|full|whole|complete\w*|needs?|needed|at (?:least|most)|enough|integers?|drop\w*|discard\w*"
    r"|ignor\w+)\b|\.\.|…",
    re.IGNORECASE,
)
