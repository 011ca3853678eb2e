"""From a question and what a program said to rows of a sweep: the answer, the attempts behind it, how it came about."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import dspy
import msgspec

from rtk.answers import text_of
from rtk.budget import Budget, Cost
from rtk.experiments.sweeps.alone import alone, summed
from rtk.models import LM
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


@dataclass(frozen=True)
class Asked:
    """A question as programs are asked it.

    Attributes:
        example: with its gold answer.
        inputs: its input fields.
        labels: the names of its other fields.
        answer_field: the output that holds the answer; None where nobody says.
    """

    example: dspy.Example
    inputs: dict[str, Any]
    labels: list[str]
    answer_field: str | None

    @classmethod
    def of(cls, example: dspy.Example, answer_field: str | None) -> Asked:
        """A question; what is asked of it many times is looked up once."""
        inputs = dict(example.inputs().items())
        return cls(example, inputs, [name for name in example.keys() if name not in inputs], answer_field)  # noqa: SIM118

    def answer_in(self, prediction: Any) -> Any:
        """The output that there is a gold answer for, else the last one; None where there is none."""
        outputs = outputs_of(prediction)
        if self.answer_field in outputs:
            return outputs[self.answer_field]
        common = [name for name in outputs if name in self.labels]
        name = (common[-1:] or list(outputs)[-1:] or [""])[0]
        return outputs.get(name)


def row_of(asked: Asked, answered: Answered, lm: Any) -> dict[str, Any]:
    """The row of an answer of a model, but for where it belongs and its attempts."""
    answer, spent = asked.answer_in(answered.prediction), answered.meter.spent
    charged, confidence = answered.meter.charged, _evidence(answered.prediction, "confidence")
    correct = answered.error is None and answered.score >= 1
    dollars, operations = alone(charged, spent.calls, lambda: _read_price(lm))
    return {
        "answer": said(answer),
        "error": answered.error,
        "stopped": answered.stopped or _evidence(answered.prediction, "stopped"),
        "correct": correct,
        "score": answered.score if answered.error is None else 0.0,
        "abstained": answered.error is None and answer is None,
        "level": _level(answered.prediction),
        "confidence": _number(getattr(confidence, "value", None)),
        "calls": spent.calls,
        "consulted": spent.samples - spent.overdrawn,
        "drawn": spent.drawn,
        "reused": spent.reused,
        "failed": spent.failed,
        "tokens_in": spent.prompt_tokens,
        "tokens_out": spent.completion_tokens,
        "dollars": dollars,
        "flops": operations,
        "seconds": _seconds(answered.prediction, charged),
        "work": math.fsum(cost.seconds for cost in charged.values()),
        "wall": answered.wall,
        "addresses": list(map(str, charged)),
    }


def _read_price(lm: Any) -> float | None:
    """Dollars of a token read."""
    price = lm.price if isinstance(lm, LM) else None
    return None if price is None else price[0] / 1e6


def _seconds(prediction: Any, charged: Mapping[Address, Cost]) -> float:
    """The longest path of its asks; of a program that does not say, all of them one after the other."""
    known = _evidence(prediction, "seconds")
    return math.fsum(cost.seconds for cost in charged.values()) if known is None else known


HANDED_OVER = "handed over"


def _level(prediction: Any) -> str | None:
    """Whose answer it is, of a program that tries one level after the other; None of any other."""
    if _evidence(prediction, "hand_over") is not None:
        return HANDED_OVER
    names = [one.name for one in _evidence(prediction, "route") or () if one.accepted]
    return names[-1] if names else None


def _evidence(prediction: Any, name: str) -> Any:
    """What a strategy says of its answer, also where one of the answer's fields has that name."""
    return evidence(prediction, name) if isinstance(prediction, dspy.Prediction) else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def said(value: Any) -> str | None:
    """An answer as text; None where there is none."""
    return None if value is None else text_of(value)


def story_of(prediction: Any) -> str | None:
    """The JSON of a deliberation; None where nothing was told."""
    told = _evidence(prediction, "deliberation")
    if told is None:
        return None
    try:
        return msgspec.json.encode(told.to_dict()).decode()
    except UnicodeEncodeError:  # a model may write what no encoding carries; who writes it to the disk sees to that
        return json.dumps(told.to_dict(), ensure_ascii=False, separators=(",", ":"))


# --- answers and gold ---


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
    asked: Asked, candidate: Candidate, reward: float | None, charged: Mapping[str, Cost], score: float | None
) -> dict[str, Any]:
    """The row of one attempt, but for where it belongs."""
    costs = [charged[one] for one in candidate.addresses if one in charged]
    sample = candidate.sample
    return {
        "answer": said(asked.answer_in(candidate.prediction)),
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
        "dollars": summed([cost.dollars for cost in costs]),
        "flops": summed([cost.flops for cost in costs]),
        "seconds": candidate.seconds,
    }
