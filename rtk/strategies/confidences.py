"""Confidences: how sure a level of a cascade is, by what it says itself, or by a verifier of its answer."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import dspy

from rtk.answers import read_number
from rtk.errors import StrategyError
from rtk.statistics import Estimate
from rtk.strategies.certainty import told_logprob
from rtk.strategies.flow import Candidate, Flow
from rtk.strategies.inputs import refuse_metric
from rtk.strategies.levels import AnyLevel, Function
from rtk.strategies.rewards import Rewarded, rewarded
from rtk.strategies.sampling import predictor_of

LOGPROB = "logprob"

_REST = r"(?:(?!\bbut\b)[^.;!?\n]){0,200}"
_UNKNOWN = re.compile(
    r"(?:(?:sorry|unfortunately|i am sorry|i[’']m sorry|based on the (?:passages|context)|the answer is)\b[\s,.:;-]*)*"
    r"(?:(?:i|we) (?:do not|don[’']t|cannot|can[’']t|am unable to|could not) "
    rf"(?:know|say|tell|answer|find|determine)\b{_REST}"
    rf"|unknown|unanswerable|n/?a|no answer|not (?:answerable|stated|mentioned|given|known|specified|found)\b{_REST}"
    rf"|(?:there is |there[’']s )?(?:not enough|insufficient|no) information\b{_REST}"
    r"|(?:it |this |that |the question )?(?:cannot|can[’']t|can not|could not) be "
    rf"(?:answered|determined|known|found)\b{_REST}"
    rf"|(?:it |this |that )?is(?: not|n[’']t) (?:stated|mentioned|given|known|specified|answerable)\b{_REST}"
    rf"|the (?:passages?|context|documents?|sources?|faq) (?:do(?:es)? not|don[’']t|doesn[’']t)\b{_REST})"
    r"(?:[.!]\s*please (?:contact|reach|ask)\b[^\n]{0,200})?",
    re.IGNORECASE,
)
_LONGEST = 400  # characters of an answer that says no more than that there is none


def is_blank(answer: Any) -> bool:
    """Whether an answer says nothing."""
    return answer is None or (isinstance(answer, str) and not answer.strip())


def says_unknown(answer: Any) -> bool:
    """Whether an answer says in so many words that there is none: "unknown", "I don't know", "not stated"."""
    if not isinstance(answer, str) or len(answer) > _LONGEST:
        return False
    return _UNKNOWN.fullmatch(answer.strip().strip(".!\"'").strip()) is not None


def number_of(said: Any, cut: bool = False) -> float | None:
    """A confidence as a number; None where there is none. A percentage in words is a share: `"85 %"` is 0.85.

    Of a level that a budget cut short it is the low end of the interval: one vote of one is no certainty.
    """
    if isinstance(said, Estimate):
        return said.low if cut and said.value is not None else said.value
    if said is None or isinstance(said, bool):
        return None if said is None else float(said)
    number = read_number(said)
    if number is None:
        return None
    found = float(number)
    percent = isinstance(said, str) and said.strip().endswith("%") and found > 1
    found = found / 100 if percent else found
    return found if math.isfinite(found) else None


def check_confidences(given: Mapping[str, Any], levels: Mapping[str, AnyLevel]) -> None:
    """Refuse what cannot measure a level's confidence.

    Raises:
        StrategyError: naming it.
    """
    for name, one in given.items():
        if name not in levels:
            raise StrategyError(
                f"confidence={{{name!r}: …}}: no level is called so", mend=f"one of {', '.join(levels)}"
            )
        level = levels[name]
        if one == LOGPROB:
            if isinstance(level, Function) or predictor_of(level) is None:
                raise StrategyError(
                    f'confidence={{{name!r}: "logprob"}} is how probable one completion was',
                    mend="for a signature, dspy.Predict or dspy.ChainOfThought; else a function, or a judge",
                )
        elif isinstance(one, dspy.Module):
            continue
        elif callable(one):
            refuse_metric("confidence", one)
        else:
            raise StrategyError(
                f"confidence={{{name!r}: {one!r:.60}}}",
                mend='"logprob", a function (inputs, prediction) -> float, a judge, or an rtk.Endpoint',
            )


def measured(measure: Any, program: dspy.Module, inputs: Mapping[str, Any], one: Candidate) -> Flow:
    """How sure of an answer a level is, by what its confidence is measured with; for `yield from`.

    Args:
        measure: `"logprob"`, the geometric mean of the tokens' probabilities; a function, or a judge.
        program: whose inputs a verifier is shown.
        inputs: what it was called with.
        one: the answer.

    Returns:
        A `Rewarded`.

    Raises:
        StrategyError: where the model gave no log-probabilities.
    """
    if measure == LOGPROB:
        return Rewarded(one, math.exp(told_logprob(one, 'confidence="logprob"')))
    found, _ = yield from rewarded(measure, program, inputs, [one])
    return found[0]
