"""From a question and what a program said to rows of a sweep: the answer, the attempts behind it, how it came about."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import dspy

from rtk.answers import text_of
from rtk.budget import Budget, Cost
from rtk.errors import TaskError
from rtk.samples import Address
from rtk.strategies import Attempts, Candidate, Strategy, evidence, mean_logprob

Metric = Callable[..., Any]


@dataclass
class Answered:
    """One question, answered or not.

    Attributes:
        prediction: what the program said; None where it raised.
        meter: what it was charged.
        wall: seconds that it took now.
        error: what it raised, in one line.
        stopped: the unit of a call's budget that ran out.
        score: what the metric says, in [0, 1].
    """

    prediction: Any
    meter: Budget
    wall: float
    error: str | None = None
    stopped: str | None = None
    score: float = 0.0


def row_of(example: dspy.Example, answered: Answered, answer_field: str | None) -> dict[str, Any]:
    """The row of an answer, but for where it belongs and its attempts."""
    answer, spent = answer_of(example, answered.prediction, answer_field), answered.meter.spent
    charged, confidence = answered.meter.charged, getattr(answered.prediction, "confidence", None)
    correct = answered.error is None and answered.score >= 1
    return {
        "answer": said(answer),
        "error": answered.error,
        "stopped": answered.stopped or _text(getattr(answered.prediction, "stopped", None)),
        "correct": correct,
        "score": answered.score if answered.error is None else 0.0,
        "abstained": answered.error is None and answer is None,
        "confidence": _number(getattr(confidence, "value", None)),
        "calls": spent.calls,
        "consulted": spent.samples - spent.overdrawn,
        "drawn": spent.drawn,
        "reused": spent.reused,
        "failed": spent.failed,
        "tokens_in": spent.prompt_tokens,
        "tokens_out": spent.completion_tokens,
        "dollars": spent.dollars,
        "flops": spent.flops,
        "seconds": _seconds(answered.prediction, charged),
        "work": math.fsum(cost.seconds for cost in charged.values()),
        "wall": answered.wall,
        "addresses": list(map(str, charged)),
    }


def _seconds(prediction: Any, charged: Mapping[Address, Cost]) -> float:
    """The longest path of its asks; of a program that does not say, all of them one after the other."""
    known = _number(getattr(prediction, "seconds", None))
    return math.fsum(cost.seconds for cost in charged.values()) if known is None else known


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def said(value: Any) -> str | None:
    """An answer as text; None where there is none."""
    return None if value is None else text_of(value)


def story_of(prediction: Any) -> str | None:
    """The JSON of a deliberation; None where nothing was told."""
    told = evidence(prediction, "deliberation") if isinstance(prediction, dspy.Prediction) else None
    return None if told is None else json.dumps(told.to_dict(), ensure_ascii=False, separators=(",", ":"))


# --- answers and gold ---


def answer_of(example: dspy.Example, prediction: Any, answer_field: str | None = None) -> Any:
    """The output that the example has a gold answer for, else the last one; None where there is none."""
    outputs = outputs_of(prediction)
    labels = list(example.labels().keys())
    if answer_field in outputs:
        return outputs[answer_field]
    common = [name for name in outputs if name in labels]
    name = (common[-1:] or list(outputs)[-1:] or [""])[0]
    return outputs.get(name)


def gold_of(example: dspy.Example, answer_field: str | None = None) -> Any:
    """The gold answer: the field of that name, else the first that is no input and no id; None where there is none."""
    labels = example.labels()
    names = [name for name in labels.keys() if name != "id"]  # noqa: SIM118 - an Example iterates otherwise
    name = answer_field if answer_field in names else (names[:1] or [None])[0]
    return None if name is None else labels[name]


def outputs_of(prediction: Any) -> dict[str, Any]:
    """A prediction's outputs; a program may return anything, and what is no prediction is one answer."""
    if isinstance(prediction, dspy.Example):
        return dict(prediction.items())
    if isinstance(prediction, Mapping):
        return dict(prediction)
    return {} if prediction is None else {"answer": prediction}


def question_of(example: dspy.Example) -> str:
    """The inputs as text: the only one as it is, several each under its name."""
    inputs = example.inputs().toDict()
    if len(inputs) == 1:
        return str(next(iter(inputs.values())))
    return "\n".join(f"{name}: {value}" for name, value in inputs.items())


def verdict(found: Any) -> float:
    """What a metric says, as a score in [0, 1].

    Raises:
        TaskError: for what is none.
    """
    found = getattr(found, "score", found) if isinstance(found, dspy.Prediction) else found
    if isinstance(found, (bool, int, float)) and 0 <= found <= 1:
        return float(found)
    item = getattr(found, "item", None)  # a number of numpy's
    if callable(item) and getattr(found, "ndim", 1) == 0:
        return verdict(item())
    raise TaskError(
        f"the metric returned {found!r:.40}, which is no score", mend="return True or False, or a score from 0 to 1"
    )


# --- attempts ---


@dataclass
class Pools:
    """The attempts at one question by one program on one model: settings that share them have one pool.

    Attributes:
        first: the number of the first pool.
    """

    first: int
    _known: list[list[str]] = field(default_factory=list)

    def place(self, addresses: list[str]) -> tuple[int, int]:
        """The pool that these attempts belong to, and how many of them it has already."""
        for number, known in enumerate(self._known):
            shared = min(len(known), len(addresses))
            if all(known[:shared]) and known[:shared] == addresses[:shared]:
                known += addresses[len(known) :]
                return self.first + number, shared
        self._known.append(list(addresses))
        return self.first + len(self._known) - 1, 0


def attempts_of(program: Any, prediction: Any) -> Attempts:
    """What the answer was chosen from; nothing where the program says nothing of that."""
    if not isinstance(program, Strategy) or not isinstance(prediction, dspy.Prediction):
        return Attempts()
    return evidence(prediction, "attempts") or Attempts()


def address_of(candidate: Candidate) -> str:
    """Where an attempt's samples are kept, as one text; empty where they are nowhere."""
    return candidate.address or "+".join(sorted(candidate.addresses))


def attempt_row(
    example: dspy.Example,
    candidate: Candidate,
    reward: float | None,
    charged: Mapping[str, Cost],
    answer_field: str | None,
    score: float | None,
) -> dict[str, Any]:
    """The row of one attempt, but for where it belongs."""
    costs = [charged[one] for one in candidate.addresses if one in charged]
    sample = candidate.sample
    return {
        "answer": None
        if candidate.prediction is None
        else said(answer_of(example, candidate.prediction, answer_field)),
        "abstention": None if candidate.abstention is None else candidate.abstention.kind,
        "address": address_of(candidate),
        "text": None if sample is None else sample.text,
        "finish": None if sample is None else sample.finish_reason,
        "correct": score is not None and score >= 1,
        "score": score,
        "logprob": mean_logprob(sample),
        "reward": None if reward is None or not math.isfinite(reward) else float(reward),
        "tokens_in": sum(cost.prompt_tokens for cost in costs),
        "tokens_out": sum(cost.completion_tokens for cost in costs),
        "dollars": _summed([cost.dollars for cost in costs]),
        "flops": _summed([cost.flops for cost in costs]),
        "seconds": candidate.seconds,
    }


def _summed(amounts: list[float | None]) -> float | None:
    known = [one for one in amounts if one is not None]
    return None if len(known) < len(amounts) else math.fsum(known)
