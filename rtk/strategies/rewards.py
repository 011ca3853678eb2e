"""Rewards: what a verifier makes of candidates. It is a function `(inputs, candidate) -> reward`, or a module, a judge,
which is asked like any program. It is shown the program's inputs and what a candidate came to, never the gold answer.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import dspy
import numpy as np

from rtk.answers import Check, answer_fields, read_number
from rtk.deliberation import Step
from rtk.errors import RTKError, StrategyError
from rtk.models import Endpoint
from rtk.strategies.flow import Candidate, Candidates, Flow, ask
from rtk.strategies.inputs import Inputs
from rtk.strategies.sampling import predictor_of
from rtk.strategies.strategy import step_of

WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
"""What a judge may say in place of a number."""

ANSWERS = ("candidate", "answer")
"""What a function calls its second parameter that judges an answer and not a whole prediction, as `task.check` does."""

TAKES = "takes (inputs, prediction), whatever the prediction (the answer alone where it calls that `answer`)"
"""What is said of a verifier that fails."""

Verifier = Callable[[Inputs, Any], "float | Check | None"]


@dataclass(eq=False)
class Rewarded:
    """One candidate and its reward.

    Attributes:
        candidate: one with a prediction.
        amount: its reward; None where nothing can be said.
        reason: why it is that.
        failed: whether the verifier failed on it.
        told: the judge's verdicts, as steps of a deliberation.
        judged_by: the judge's verdicts that said something.
    """

    candidate: Candidate
    amount: float | None = None
    reason: str = ""
    failed: bool = False
    told: list[Step] = field(default_factory=list)
    judged_by: list[Candidate] = field(default_factory=list)


def rewarded(
    verifier: Verifier | dspy.Module,
    program: dspy.Module,
    inputs: Mapping[str, Any],
    candidates: Sequence[Candidate],
) -> Flow:
    """Reward candidates, all of them at once; for `yield from`.

    Args:
        verifier: a function, or a judge.
        program: whose candidates they are.
        inputs: what it was called with.
        candidates: those without a prediction get no reward.

    Returns:
        A `Rewarded` for each candidate with a prediction, in order, and whether a budget let the judge see all.

    Raises:
        RTKError: what a function raises of them; its other errors are on the `Rewarded`.
        StrategyError: for a judge that has a field for what verifiers are not shown.
    """
    found = [Rewarded(one) for one in candidates if one.prediction is not None]
    shown_with = cache(lambda names: Inputs.of(program, inputs, names))  # candidates of a program have the same fields
    shown = [shown_with(frozenset(_outputs(one.candidate))) for one in found]
    if not isinstance(verifier, dspy.Module):
        for one, seen in zip(found, shown, strict=True):
            _reward(verifier, one, seen)
        return found, True
    pairs = zip(found, shown, strict=True)
    asked = yield [ask(verifier, given(verifier, seen, _outputs(one.candidate))) for one, seen in pairs]
    for one, verdicts in zip(found, asked, strict=True):
        _judge(one, verdicts)
    return found, all(verdicts.cut is None for verdicts in asked)


def called(verifier: Verifier, shown: Inputs, prediction: Any) -> Any:
    """What a function says of a prediction; it is given the answer alone where it asks for that, see `ANSWERS`."""
    return verifier(shown, _answer(prediction) if _of_answers(verifier) else prediction)


def uncopied(verifier: Verifier) -> Verifier:
    """A function as an attribute of a program: copies of the program call the same one."""

    def same(*seen: Any) -> Any:
        return verifier(*seen)

    same.__wrapped__ = verifier  # type: ignore[attr-defined] - its parameters are still seen
    return same


def _of_answers(verifier: Any) -> bool:
    try:
        found = list(inspect.signature(verifier).parameters)
    except (TypeError, ValueError):  # written in C: it does not say
        return False
    return len(found) > 1 and found[1] in ANSWERS


def _answer(prediction: Any) -> Any:
    """The last output that is not reasoning; None where there is none."""
    fields = dict((prediction or {}).items())
    names = answer_fields(fields)
    return fields[names[-1]] if names else None


def given(judge: dspy.Module, shown: Inputs, outputs: Mapping[str, Any]) -> dict[str, Any]:
    """What a judge has fields for; all of it where that is not known.

    Raises:
        StrategyError: where it has a field for what is withheld from verifiers, or one that nothing fills.
    """
    if isinstance(judge, Endpoint):
        return dict(judge.texts(shown, outputs))
    seen, predictor = {**shown, **outputs}, predictor_of(judge)
    if predictor is None:
        return seen
    signature: Any = predictor.signature
    unknown = [name for name in signature.input_fields if name not in seen and name not in shown.withheld]
    if unknown:
        raise StrategyError(
            f"the judge asks for {', '.join(unknown)}, which is neither an input of the program nor what it judges",
            mend=f"give it input fields of these: {', '.join(seen)}",
        )
    wanted = [name for name in signature.input_fields if name in seen or name in shown.withheld]
    return {name: seen[name] if name in seen else shown[name] for name in wanted}


def amount(said: Any) -> tuple[float | None, str]:
    """A reward as a number, and why it is that.

    Raises:
        StrategyError: for what is no number, no `Check`, and not None.
    """
    if isinstance(said, Check):
        return (float(said.ok) if said.score is None and said.ok is not None else said.score), said.reason
    if said is None or isinstance(said, bool | np.bool_):
        return (None if said is None else float(said)), ""
    if isinstance(said, str) and (word := said.strip().strip(".!").casefold()) in WORDS:
        return WORDS[word], ""
    number = read_number(said)
    if number is None:
        raise StrategyError(f"a reward of {said!r:.60} is no number", mend="return a finite number, a Check or None")
    return float(number), ""


def verdict_of(candidate: Candidate) -> tuple[float | None, str]:
    """What a judge said: its last output as a number. A judge is a model and may say anything: then None, and why."""
    if candidate.prediction is None:
        why = candidate.abstention.reason if candidate.abstention is not None else ""
        return None, f"the judge gave no answer{f' ({why})' if why else ''}"[:160]
    try:
        return amount(list(candidate.prediction.values())[-1])
    except StrategyError as error:
        return None, str(error)


def _outputs(candidate: Candidate) -> dict[str, Any]:
    return dict((candidate.prediction or {}).items())


def _reward(verifier: Verifier, one: Rewarded, shown: Inputs) -> None:
    try:
        one.amount, one.reason = amount(called(verifier, shown, one.candidate.prediction))
    except RTKError:
        raise
    except Exception as error:  # noqa: BLE001 - a user's function; whoever asked decides what a failure is
        one.failed, one.reason = True, f"the verifier failed: {type(error).__name__}: {error}"[:160]


def _judge(one: Rewarded, verdicts: Candidates) -> None:
    for verdict in verdicts:
        one.told.append(step_of(verdict, "kept", kind="check"))
        one.amount, one.reason = verdict_of(verdict)
        if verdict.prediction is not None:
            one.judged_by.append(verdict)
        lost = verdict.abstention is not None and verdict.abstention.kind == "failed"
        one.failed = lost or (verdict.prediction is not None and one.amount is None)
