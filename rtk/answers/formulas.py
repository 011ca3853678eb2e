"""Formulas as models write them in plain characters: without LaTeX, emphasis, bullets and currency signs."""

from __future__ import annotations

import re

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
