"""Verifying: what is found in an attempt, by code, a function, a judge or a critique; none is shown the gold answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dspy
import numpy as np

from rtk.answers import Check, Comparer, answer_fields, equal
from rtk.deliberation import State, Step
from rtk.errors import RTKError
from rtk.events import CheckFailed, tell
from rtk.samples import readable
from rtk.strategies.flow import Candidate, Flow, ask
from rtk.strategies.inputs import Inputs
from rtk.strategies.rewards import WORDS, amount, called, given, rewarded, verdict_of
from rtk.strategies.step_checks import Chain, check_chain, name_of, taken_apart
from rtk.strategies.strategy import step_of

SHOWN = 4000  # characters of a finding that the model is shown

Verifier = Callable[[Inputs, Any], "Check | float | bool | None"]
"""From a call's inputs and an attempt, whether it passes, how good it is, or None where there is nothing to say."""


@dataclass(eq=False)
class Verified:
    """What one verifier said of an attempt.

    Attributes:
        by: its name.
        passed: None where it cannot tell.
        score: the higher the better; of fewer wrong claims too.
        finding: what it found, for a reader and for the model that is to mend it.
        failed: whether it failed itself, or a budget ended it.
        told: a model's verdicts, as steps of a deliberation.
        used: the verdicts that said something.
    """

    by: str
    passed: bool | None = None
    score: float | None = None
    finding: str = ""
    failed: bool = False
    told: list[Step] = field(default_factory=list)
    used: list[Candidate] = field(default_factory=list)

    @property
    def standing(self) -> int:
        """The higher the better for the attempt."""
        if self.passed is None:
            return 0 if self.failed else 2
        return 3 if self.passed else 1

    @property
    def said(self) -> str:
        """In words."""
        if self.passed:
            return "it passes"
        if self.passed is None:
            return f"{'no verdict' if self.failed else 'it cannot tell'}{f': {self.finding}' if self.finding else ''}"
        told = self.score in (None, 0.0, 1.0) or self.finding == _graded(self.score)
        graded = "" if told else f" (score {self.score:g})"
        return f"it does not pass{graded}: {self.finding or 'no reason was given'}"

    @property
    def step(self) -> Step:
        """As a step of a deliberation."""
        state: State = "kept" if self.passed else "open" if self.passed is None else "dead end"
        return Step("check", self.said, self.score, state, self.by, children=self.told)


@dataclass(eq=False)
class Attempt:
    """A draft or a revision, and what was found in it.

    Attributes:
        candidate: what came.
        number: its round; 0 is the draft's.
        revises: the attempt that it was to mend; None for a draft.
        verified: what each verifier said, in order, up to the first that it did not pass.
        chain: it, taken apart into steps.
    """

    candidate: Candidate
    number: int
    revises: Attempt | None = None
    verified: list[Verified] = field(default_factory=list)
    chain: Chain = field(init=False)

    def __post_init__(self) -> None:
        self.chain = taken_apart(self.candidate)

    @property
    def fields(self) -> dict[str, Any]:
        """Its outputs; none where it gave no answer."""
        return dict((self.candidate.prediction or {}).items())

    @property
    def answered(self) -> bool:
        """Whether it says anything."""
        return self.candidate.prediction is not None

    @property
    def answer(self) -> str:
        """Its answer in a line."""
        named = [name for name in answer_fields(self.fields) if name in self.fields]
        return str(self.fields[named[0]]) if len(named) == 1 else self.chain.answer

    @property
    def name(self) -> str:
        """What it is called."""
        if self.revises is not None:
            return f"revision {self.number}"
        return f"draft {self.number + 1}" if self.number else "the draft"

    @property
    def last(self) -> Verified | None:
        """What decided about it: the first verifier that it did not pass, else the last one."""
        return self.verified[-1] if self.verified else None

    @property
    def passed(self) -> bool | None:
        """Whether it passed all; None where that cannot be told."""
        return self.last.passed if self.last is not None else None

    @property
    def finding(self) -> str:
        """What is to be mended."""
        if self.last is None or self.passed is not False:
            return ""
        return self.last.finding or f"It does not pass ({self.last.by}); no reason was given."

    @property
    def score(self) -> float | None:
        """The verifier's score; of several, the share of them that it passed."""
        return self.last.score if self.last is not None else None

    @property
    def rank(self) -> tuple[float, ...]:
        """The higher the better: an answer, more verifiers passed, a better standing with the next, a higher score."""
        if self.last is None or not self.answered:
            return (float(self.answered), 0, 0, -math.inf)
        score = -math.inf if self.last.score is None else self.last.score
        return (1.0, sum(bool(one.passed) for one in self.verified), self.last.standing, score)

    def says_as(self, other: Attempt, comparer: Comparer) -> bool:
        """Whether another one gives the same answer."""
        mine, its = self.fields, other.fields
        names = answer_fields(mine)
        return names == answer_fields(its) and all(equal(mine[name], its[name], comparer) for name in names)

    def told(self, state: State) -> Step:
        """As a step of a deliberation, with what was found."""
        nested = self.candidate.deliberation is not None
        kind = "chain" if self.revises is None else "revision"
        self.chain.revises = None if self.revises is None else f"asked to mend: {self.revises.finding}"[:200]
        found = step_of(self.candidate, state, kind) if nested else self.chain.told(state)
        found.label, found.score = self.name, self.score
        found.children = [*found.children, *(one.step for one in self.verified)]
        return found


# --- verifiers ---


@dataclass(frozen=True)
class Panel:
    """Who verifies, and what for.

    Attributes:
        program: whose attempts they are.
        inputs: what it was called with.
        verifiers: names to a function `(inputs, prediction)`, a judge, or None for the arithmetic of the steps.
        critic: the judge that is shown the attempt as a text, if any, and under what name.
        arithmetic: the check of a step.
        threshold: the number from which on an attempt passes; None where a number alone does not pass.
    """

    program: dspy.Module
    inputs: Mapping[str, Any]
    verifiers: Sequence[tuple[str, Any]]
    critic: tuple[dspy.Module | None, str]
    arithmetic: Callable[..., Any]
    threshold: float | None = None

    @property
    def shown(self) -> Inputs:
        """What verifiers of steps are shown."""
        return Inputs.of(self.program, self.inputs)

    def asks(self) -> bool:
        """Whether a model is asked."""
        return any(isinstance(one, dspy.Module) for _, one in self.verifiers)

    def verify(self, attempt: Attempt) -> Flow:
        """Let all verifiers see an attempt, in order, up to the first that it does not pass; for `yield from`."""
        for name, verifier in self.verifiers:
            if verifier is None:
                found = self._calculated(name, attempt)
            elif verifier is self.critic[0]:
                found = yield from self._criticised(name, verifier, attempt)
            elif isinstance(verifier, dspy.Module):
                found = yield from self._judged(name, verifier, attempt)
            else:
                found = self._called(name, verifier, attempt)
            attempt.verified.append(found)
            if verifier is not None and found.passed is False:
                tell(CheckFailed, text=attempt.answer, reason=found.finding or found.said)
            if not found.passed:
                break

    def _calculated(self, name: str, attempt: Attempt) -> Verified:
        """The claims in its steps, calculated. The fewer are wrong the better: 1, 1/2, 1/3, …"""
        failures = check_chain(attempt.chain, self.shown, [self.arithmetic]).failures
        return Verified(name, not failures, 1 / (1 + len(failures)), attempt.chain.mistakes())

    def _called(self, name: str, verifier: Verifier, attempt: Attempt) -> Verified:
        shown = Inputs.of(self.program, self.inputs, attempt.fields)
        try:
            said = called(verifier, shown, attempt.candidate.prediction)
        except RTKError:
            raise
        except Exception as error:  # noqa: BLE001 - a user's function; where it always fails that is raised
            return Verified(
                name, failed=True, finding=readable(f"the verifier failed: {type(error).__name__}: {error}"[:160])
            )
        return self._read(name, said)

    def _judged(self, name: str, judge: dspy.Module, attempt: Attempt) -> Flow:
        found, _ = yield from rewarded(judge, self.program, self.inputs, [attempt.candidate])
        one = found[0]
        reply = one.judged_by[-1] if one.judged_by else None
        return self._of_model(name, reply, one.reason, one.told, one.judged_by)

    def _criticised(self, name: str, critic: dspy.Module, attempt: Attempt) -> Flow:
        fields = attempt.fields
        seen = {**fields, self.critic[1]: attempt.chain.attempt()}
        asked = given(critic, Inputs.of(self.program, self.inputs, fields), seen)
        reply: Candidate = (yield ask(critic, asked, rollout=attempt.number))[0]
        told, reason = [step_of(reply, "kept", kind="check")], verdict_of(reply)[1]
        return self._of_model(name, reply, reason, told, [] if reply.prediction is None else [reply])

    def _of_model(
        self, name: str, reply: Candidate | None, reason: str, told: list[Step], used: list[Candidate]
    ) -> Verified:
        """What a judge said: its last output is the verdict, the others are what it found."""
        fields = dict((reply.prediction or {}).items()) if reply is not None else {}
        if not fields or verdict_of(reply)[0] is None:  # type: ignore[arg-type] - there are fields of a reply
            return Verified(name, finding=reason, failed=True, told=told)
        *others, last = fields.items()
        found = self._read(name, last[1])
        written = "\n".join(str(value) for _, value in others if str(value or "").strip())
        found.finding = written[:SHOWN] or found.finding
        found.told, found.used = told, used
        return found

    def _read(self, name: str, said: Any) -> Verified:
        """A verdict of any kind.

        Raises:
            StrategyError: for what is no number, no `Check`, and not None.
        """
        said = _decided(said)
        score, reason = amount(said)
        passed = said.ok if isinstance(said, Check) else said if isinstance(said, bool) else None
        if score is not None and not isinstance(said, bool) and getattr(said, "score", score) is not None:  # graded
            if passed is not False:
                enough = self.threshold is not None and score >= self.threshold
                passed = enough if self.threshold is not None or passed is None else passed
            reason = reason or ("" if passed else _graded(score))
        return Verified(name, passed, score, readable(reason[:SHOWN]))


def _decided(said: Any) -> Any:
    """A yes or no in words, or numpy's, as a bool."""
    if isinstance(said, np.bool_):
        return bool(said)
    word = said.strip().strip(".!").casefold() if isinstance(said, str) else None
    return bool(WORDS[word]) if word in WORDS else said


def _graded(score: float | None) -> str:
    return f"It is given a score of {score:g}."


def names_of(verifiers: Sequence[Any]) -> list[str]:
    """Verifiers by name; a function that has none is a checker, and several of one name are numbered."""
    plain = [one if isinstance(one, str) else name_of(getattr(one, "func", one)) for one in verifiers]
    plain = ["checker" if one == "<lambda>" else one for one in plain]
    return [
        one if plain.count(one) == 1 else f"{one} {plain[: place + 1].count(one)}" for place, one in enumerate(plain)
    ]
