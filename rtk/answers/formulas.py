"""Formulas as models write them in plain characters: without LaTeX, emphasis, bullets, currency; and their tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rtk.answers.units import TOUCHING
from rtk.answers.wording import DIVIDING
from rtk.answers.writing import plain

_SIGNS = str.maketrans({"∗": "*", "⋅": "·", "∙": "·", "✕": "×", "✖": "×", "º": "°", "≃": "≈", "≅": "≈"})
_MONEY = re.compile(r"\\?[$€£¥]")
_RAISED = re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_EMPHASIS = re.compile(r"\*\*(?![\d( ])|(?<![\d)])\*\*|(?<=\s)\*(?=\d[^*\n]{0,200}\d\*(?:\s|$))|(?<=\d)\*(?=\s*$)|`")
_BULLET = re.compile(r"[ \t]{0,40}(?:[-*+•‣▪●]|\(?[0-9]{1,2}[.)])[ \t]{1,40}")
_COMMANDS = (
    (re.compile(r"\\\\"), "\n"),
    (re.compile(r"\\(?:left|right|displaystyle|,|;|!|:)(?![a-zA-Z])"), ""),
    (re.compile(r"\\(?:quad|qquad| )"), "  "),
    (re.compile(r"\\[()\[\]]"), " "),
    (re.compile(r"\\(?:begin|end)\{[a-z]{1,12}\*?\}"), "\n"),
    (re.compile(r"\\(?:times|cdot)(?![a-zA-Z])"), "×"),
    (re.compile(r"\\div(?![a-zA-Z])"), "÷"),
    (re.compile(r"\\(?:approx|simeq)(?![a-zA-Z])"), "≈"),
    (re.compile(r"\\(?:implies|Rightarrow|rightarrow|to|therefore)(?![a-zA-Z])"), " → "),
    (re.compile(r"\^\s?\{?\\circ\}?"), "°"),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"&(?==)|(?<==)&"), ""),
)
_BRACED = (
    (re.compile(r"\\(?:text|textbf|mathrm|mathbf|boxed|mbox|operatorname)\s?\{([^{}]{0,200})\}"), r" \1 "),
    (re.compile(r"\\[dt]?frac\s?\{\s?([0-9]{1,20})\s?\}\s?\{\s?([0-9]{1,20})\s?\}"), r" (\1/\2) "),
    (re.compile(r"\\[dt]?frac\s?\{([^{}]{1,200})\}\s?\{([^{}]{1,200})\}"), r" ((\1)/(\2)) "),
    (re.compile(r"\\sqrt\s?\{([^{}]{1,200})\}"), r" sqrt(\1) "),
    (re.compile(r"\^\s?\{(-?[0-9]{1,4})\}"), r"^\1"),
    (re.compile(r"\^\s?\{([^{}]{1,200})\}"), r"^(\1)"),
)
OVER = frozenset("/÷")
_TOKEN = re.compile(
    r"(?P<num>(?!0[xXbBoO][0-9a-fA-F])(?:[0-9]{1,3}(?:,[0-9]{2,3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?"
    r"(?:[eE][+-]?[0-9]{1,2}(?![0-9a-zA-Z]))?|(?<![0-9])\.[0-9]+)|(?P<op>\*\*|[-+*/×÷·^!%√()])|(?P<rel>(?<![!<>:≈~=])[=≈](?![=>]))"
    r"|(?P<word>°\s?[CF]?(?![a-zA-Z])|[^\W\d_]+(?:['’\-][^\W\d_]+)*)|(?P<other>0[xXbBoO]\w+|\S)"
)


@dataclass(frozen=True, slots=True)
class Token:
    """A number, operator, relation, word or other character, and where it stands."""

    kind: str
    text: str
    start: int
    end: int

    def is_word(self, *words: str) -> bool:
        """Whether it is one of some words."""
        return self.kind == "word" and self.text.lower() in words


END = Token("end", "", -1, -1)


def flat(text: str) -> str:
    """The text without LaTeX, emphasis, bullets and currency signs, one statement a line."""
    text = _RAISED.sub(lambda found: f"^{found[0].translate(_DIGITS)}", plain(text).translate(_SIGNS))
    text = _unlatexed(text) if "\\" in text or "{" in text else text
    lines = (_MONEY.sub("", _EMPHASIS.sub("", line)) for line in text.split("\n"))
    return "\n".join(line[bullet.end() :] if (bullet := _BULLET.match(line)) else line for line in lines)


def _unlatexed(text: str) -> str:
    for pattern, instead in _COMMANDS:
        text = pattern.sub(instead, text)
    text = re.sub(r"\\[dt]?frac([0-9])([0-9])", r" (\1/\2) ", text)
    for _ in range(4):  # from within, as deep as anybody writes
        before = text
        for pattern, instead in _BRACED:
            text = pattern.sub(instead, text)
        if text == before:
            break
    return text


def tokens(line: str) -> list[Token]:
    """A line's tokens; a number that touches letters which are no unit is none: `2x` is no 2, `0x10` no 10."""
    found = [Token(str(one.lastgroup), one[0], one.start(), one.end()) for one in _TOKEN.finditer(line)]
    return [_known(found, at) for at in range(len(found))]


def _known(found: list[Token], at: int) -> Token:
    one, next_ = found[at], found[at + 1] if at + 1 < len(found) else END
    before = found[at - 1] if at else END
    if one.kind == "word" and one.text in ("x", "X"):
        return Token("op", "×", one.start, one.end) if _opens(next_) and _closes(before) else one
    if one.kind != "num":
        return one
    spoilt = before.end == one.start and (
        (before.kind == "word" and before.text not in ("x", "X")) or before.text == "_"
    )
    if next_.start == one.end:
        times = next_.text in ("x", "X") and _opens(found[at + 2] if at + 2 < len(found) else END)
        unit = next_.text.lower() in TOUCHING or next_.text[:1] == "°" or times
        spoilt = spoilt or (next_.kind == "word" and not unit) or next_.text == "_"
        split = next_.text in (",", ":") and at + 2 < len(found) and found[at + 2].start == next_.end
        spoilt = spoilt or (split and found[at + 2].kind == "num")
    if before.end == one.start and before.text in (",", ":", ".") and at > 1 and found[at - 2].end == before.start:
        spoilt = spoilt or found[at - 2].kind == "num"
    return Token("other", one.text, one.start, one.end) if spoilt else one


def _opens(token: Token) -> bool:
    return token.kind == "num" or token.text in ("(", "-", "√")


def _closes(token: Token) -> bool:
    return token.kind == "num" or token.text in (")", "!", "%")


def divides(span: list[Token], *, sums: bool) -> bool:
    """Whether a calculation has a division in it; without `sums`, only where it is no sum: 25/4 × 2, not 1/2 + 1/3."""
    depth, divided = 0, False
    for at, one in enumerate(span):
        depth += (one.text == "(") - (one.text == ")")
        signed = at == 0 or (span[at - 1].kind == "op" and span[at - 1].text not in (")", "%", "!"))
        added = one.is_word("plus", "minus") or (one.text in ("+", "-") and not signed)
        if added and depth == 0 and not sums:
            return False
        divided = divided or one.text in OVER or one.is_word(*DIVIDING)
    return divided
