"""A chain of reasoning as steps, and what checks find in them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rtk.answers import Check, Checker, Claim, check_arithmetic, steps, thinking
from rtk.deliberation import Step
from rtk.events import CheckFailed, tell
from rtk.strategies.flow import Candidate
from rtk.strategies.inputs import Inputs
from rtk.strategies.strategy import step_of
from rtk.strategies.verdicts import said, verdict

StepChecker = Callable[[Mapping[str, Any], str, Sequence[str]], "Check | bool | None"]
"""A checker of steps sees a question's inputs, one step, and the steps before it."""

Checks = Literal["arithmetic"] | StepChecker | Checker

LONGEST_ATTEMPT = 8000  # characters of a chain that the model is shown again


@dataclass(frozen=True, slots=True)
class Failure:
    """What a check found wrong.

    Attributes:
        where: the step, or the answer.
        what: the part of it that is wrong: a claim, or the checker's name.
        reason: why.
        score: the checker's, where it grades.
    """

    where: str
    what: str
    reason: str
    score: float | None = None

    @property
    def told(self) -> Step:
        """As a step of a deliberation."""
        return Step("check", self.what, state="dead end", reason=self.reason, score=self.score)


@dataclass
class Told:
    """A step as it was written, and what is wrong with it."""

    text: str
    thinking: bool = False
    failures: list[Failure] = field(default_factory=list)


@dataclass(eq=False)
class Chain:
    """One candidate taken apart.

    Attributes:
        candidate: the candidate.
        steps: the steps of its thinking, then those of its reasoning.
        answer: its other fields, as a line.
        wrong: what is wrong with its answer.
        revises: what the chain was asked to mend; None for a first one.
    """

    candidate: Candidate
    steps: list[Told] = field(default_factory=list)
    answer: str = ""
    wrong: list[Failure] = field(default_factory=list)
    revises: str | None = None

    @property
    def failures(self) -> list[Failure]:
        """What counts against it. A thought may be taken back by the next, so thinking counts only by itself."""
        reasoned = any(not one.thinking for one in self.steps)
        counted = [one for one in self.steps if not (one.thinking and reasoned)]
        return [failure for one in counted for failure in one.failures] + self.wrong

    def told(self, state: Any, cap: int | None = None) -> Step:
        """The chain as a step whose children are its steps, each with what is wrong in it."""
        found = step_of(self.candidate, state, "chain" if self.revises is None else "revision")
        if self.candidate.prediction is None:
            found.reason = "; ".join(filter(None, (found.reason, self.revises)))
            return found
        found.text = self.answer or found.text
        found.children = [_step(one) for one in self.steps] + [one.told for one in self.wrong]
        written = sum(not one.thinking for one in self.steps)
        many = f"{written} steps, at most {cap} were asked for" if cap is not None and written > cap else ""
        found.reason = "; ".join(filter(None, (self.revises, many)))
        return found

    def mistakes(self) -> str:
        """What is wrong, for the model that is to mend it."""
        lines = [f"{one.where[:2000]}\nThis is wrong: {_said(one)[:1000]}" for one in self.failures[:3]]
        return "\n\n".join(lines)

    def attempt(self) -> str:
        """What was written, for the model that is to mend it."""
        written = "\n".join(one.text for one in self.steps)
        if len(written) > LONGEST_ATTEMPT:
            written = f"{written[: LONGEST_ATTEMPT // 2]}\n…\n{written[-LONGEST_ATTEMPT // 2 :]}"
        return f"{written}\n{self.answer}".strip()


def _step(one: Told) -> Step:
    label = "thinking" if one.thinking else ""
    return Step("step", one.text, state="kept", label=label, children=[failure.told for failure in one.failures])


def _said(failure: Failure) -> str:
    return f"{failure.what}: {failure.reason}" if failure.reason else failure.what


# --- taking apart ---


def taken_apart(candidate: Candidate) -> Chain:
    """A candidate's steps: those that a model thought before its reply, and those of its field `reasoning`."""
    fields: dict[str, Any] = dict(candidate.prediction.items()) if candidate.prediction is not None else {}
    written = _text(fields.pop("reasoning", None))
    thought = candidate.sample.reasoning or "" if candidate.sample is not None else ""
    inside, reasoning = thinking(written)
    if not (thought or inside) and candidate.sample is not None:
        inside = thinking(candidate.sample.text)[0]
        inside = "" if _flat(inside) in _flat(reasoning) else inside
    if thought and _flat(thought) == _flat(reasoning):
        reasoning = ""  # the field is the model's own thinking, as DSPy's type for it has it
    thoughts = [Told(one, thinking=True) for one in steps(thought or inside)]
    chain = Chain(candidate, thoughts + [Told(one) for one in steps(reasoning)])
    chain.answer = "; ".join(f"{name}: {value}" for name, value in fields.items())
    return chain


def _text(value: Any) -> str:
    """Reasoning as text; DSPy's type for it has it as its content."""
    content = getattr(value, "content", value)
    return content if isinstance(content, str) else ""


def _flat(text: str) -> str:
    return " ".join(text.split())


# --- checking ---


def arithmetic(inputs: Mapping[str, Any], step: str, steps_so_far: Sequence[str]) -> list[Claim]:
    """The claims in a step that are wrong."""
    return [claim for claim in check_arithmetic(step) if not claim.ok]


def check_chain(chain: Chain, shown: Inputs, checks: Sequence[Any]) -> Chain:
    """Run checks on each step in its turn, then those of answers on the answer; tell who watches what fails.

    Raises:
        StrategyError: for a checker that fails, or says something else than a verdict.
    """
    if chain.candidate.prediction is None:
        return chain
    of_steps = [one for one in checks if not of_answers(one)]
    texts = [one.text for one in chain.steps]
    for number, one in enumerate(chain.steps):
        for check in of_steps:
            one.failures += _failures(
                check, one.text, shown, one.text, texts[:number] if check is not arithmetic else ()
            )
    values: list[Any] = list(chain.candidate.prediction.values())
    for check in checks:
        if values and of_answers(check):
            chain.wrong += _failures(check, f"The answer {values[-1]}", shown, values[-1])
    for failure in (*(each for one in chain.steps for each in one.failures), *chain.wrong):
        tell(CheckFailed, text=failure.where, reason=_said(failure))
    return chain


def _failures(check: Any, where: str, shown: Inputs, *given: Any) -> list[Failure]:
    name = name_of(check)
    takes = "a check takes (inputs, step, steps_so_far), whatever the step"
    found = said(check, f"the check {name}", takes, shown, *given)
    if isinstance(found, list):
        return [Failure(where, claim.text, claim.reason) for claim in found]
    told = verdict(found, f"the check {name}")
    return [] if told else [Failure(where, name, told.reason, told.score)]


def of_answers(check: Any) -> bool:
    """Whether a check takes two arguments, the inputs and an answer, as a task's checker does."""
    if check is arithmetic:
        return False
    try:
        found = inspect.signature(check).parameters.values()
    except (TypeError, ValueError):  # written in C: it does not say
        return False
    if any(one.kind is one.VAR_POSITIONAL for one in found):
        return False
    return sum(one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in found) == 2


def name_of(check: Any) -> str:
    """A check by name."""
    return str(getattr(check, "__name__", type(check).__name__))
