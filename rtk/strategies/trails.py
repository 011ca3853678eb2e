"""Trails: what is known in one call of a cascade, level after level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import dspy

from rtk.budget import Spent, current_budgets
from rtk.deliberation import State, Step
from rtk.errors import StrategyError
from rtk.retrieval import Passage
from rtk.strategies.accepting import Gate, best_of, passes
from rtk.strategies.citing import CONTEXT, cited, shown
from rtk.strategies.confidences import is_blank, number_of, says_unknown
from rtk.strategies.flow import Candidate
from rtk.strategies.levels import AnyLevel, Found, Function, given_to, kind_of, looks_up, takes, wants_query
from rtk.strategies.prediction import evidence
from rtk.strategies.questions import predictors_of
from rtk.strategies.rewards import Rewarded
from rtk.strategies.routes import Level, Route, less
from rtk.strategies.strategy import step_of

ASKED_BY = ("question", "query")


class Trail:
    """One call of a cascade under way.

    Args:
        levels: by name, in order.
        signature: whose outputs are answered.
        inputs: of the call.

    Attributes:
        route: what each level came to, so far.
        found: the same, as it was asked for, by the level's name.
        verdicts: what judges said of a level's answer.
        history: the conversation before the question; None for none.
        asked_by: the input field that holds the question.
    """

    def __init__(self, levels: Mapping[str, AnyLevel], signature: Any, inputs: Mapping[str, Any]) -> None:
        self.route: list[Level] = []
        self.found: dict[str, Found] = {}
        self.verdicts: dict[str, Rewarded] = {}
        self.history = next((one for one in inputs.values() if isinstance(one, dspy.History)), None)
        self.asked_by = _asked_by(signature, inputs)
        self._signature, self._inputs = signature, inputs
        self._known = frozenset(_known(levels, signature, inputs))
        self._passages: list[Passage] = []
        self._before: tuple[Spent, frozenset[Any]] = (Spent(), frozenset())
        self._new = True

    # --- what a level is given ---

    @property
    def text(self) -> str:
        """The question.

        Raises:
            StrategyError: where the call has none.
        """
        if self.asked_by not in self._inputs:
            raise StrategyError(
                f"the cascade was called without {self.asked_by!r}",
                mend=f'cascade({self.asked_by}="…"): retrieval and the calculator read it',
            )
        return str(self._inputs[self.asked_by])

    @property
    def question(self) -> str:
        """The question for a reader; empty where there is none."""
        said = self._inputs.get(self.asked_by)
        return "" if said is None else str(said)

    @property
    def inputs(self) -> dict[str, Any]:
        """Those of the call's inputs that are inputs of the cascade, and nothing else that it was given."""
        return {name: self._inputs[name] for name in self._signature.input_fields if name in self._inputs}

    def given_to(self, level: AnyLevel) -> dict[str, Any]:
        """What a level is asked with."""
        if wants_query(level):
            return {"query": self.text}
        own = isinstance(level, Function)
        given = given_to(level, self.inputs if own else self._inputs, self._known)
        taken, fields = takes(level), _input_fields(level)
        if taken is not None and CONTEXT in taken and CONTEXT not in given:
            given[CONTEXT] = shown(self._passages, fields.get(CONTEXT, str))
        begun = {name: dspy.History(messages=[]) for name, kind in fields.items() if kind is dspy.History}
        return {**begun, **given}

    # --- what it came to ---

    def begin(self) -> None:
        """A level is asked from now on: what is spent is its cost."""
        meter = current_budgets()[-1]
        self._before, self._new = (meter.spent, frozenset(meter.charged)), True

    def skipped(self, name: str, level: AnyLevel) -> None:
        """A level is not asked."""
        why = "none of its answers is given, by accept="
        self.route.append(Level(name, kind_of(level), threshold=False, reason=why, asked=False))

    def note(self, name: str, level: AnyLevel, found: Found, gate: Gate) -> None:
        """Note what a level came to; again, where more is known of it."""
        last = list(self._signature.output_fields)[-1]
        answer = found.fields.get(last)
        answer = None if is_blank(answer) else answer
        free = self._signature.output_fields[last].annotation is str  # a label may be called "unknown"
        sure, unknown = number_of(found.confidence, cut=found.cut is not None), free and says_unknown(answer)
        accepted, reason = passes(gate, answer is not None, unknown, sure)
        sources, is_cited, notes = self._sources(level, found)
        meter = current_budgets()[-1]
        one = Level(
            name,
            "retrieval" if found.passages and looks_up(level) else kind_of(level),
            answer,
            sure,
            gate.threshold,
            accepted,
            self._reason(name, found, answer, sure, reason),
            sources,
            is_cited,
            found.passages,
            tuple(notes),
            dict(found.fields) if answer is not None else {},
            less(meter.spent, self._before[0]),
            found.seconds,
            self._costs(meter.charged, found),
            _votes(found),
            unknown=unknown,
            failed=_failed(found),
            cut=found.cut.limit if found.cut is not None else None,
        )
        if self._new:
            self.route.append(one)
            known = {passage.text for passage in self._passages}
            self._passages += [passage for passage in found.passages if passage.text not in known]
        else:
            self.route[-1] = one
        self.found[name], self._new = found, False

    def _reason(self, name: str, found: Found, answer: Any, sure: float | None, reason: str) -> str:
        """Why it was accepted or not, as exactly as it is known."""
        if found.cut is not None:
            ended = f"the budget of {found.cut.limit} ended"
            return f"{ended} before it had an answer" if answer is None else f"{reason}; {ended} in it"
        if answer is None:
            return found.reason or "it gave no answer"
        said = self.verdicts.get(name)
        if sure is None and said is not None and said.reason:
            return f"{reason}: {said.reason}"
        return reason

    def _sources(self, level: AnyLevel, found: Found) -> tuple[tuple[Passage, ...], bool, list[str]]:
        """The passages that an answer rests on, whether it cites them, and what is odd."""
        seen = list(found.passages) or self._shown_to(level)
        if not found.fields or not seen:
            return (), False, []
        if looks_up(level):
            return found.passages[:1], True, []
        right, wrong = cited(found.fields, len(seen))
        notes = [f"it cites {', '.join(f'[{one}]' for one in wrong)}, which it was not shown"] if wrong else []
        return tuple(seen[number - 1] for number in right) or tuple(seen), bool(right), notes

    def _shown_to(self, level: AnyLevel) -> list[Passage]:
        """The passages that a level was shown."""
        shows = CONTEXT in (takes(level) or ()) and CONTEXT not in self._inputs
        return self._passages if shows else []

    def _costs(self, charged: Mapping[Any, Any], found: Found) -> dict[str, Any]:
        """What the samples cost that a level rests on, whoever drew them first."""
        own = found.candidate.addresses if found.candidate is not None else frozenset()
        return {
            str(address): cost
            for address, cost in charged.items()
            if address not in self._before[1] or str(address) in own
        }

    # --- what all of it comes to ---

    @property
    def ended(self) -> bool:
        """Whether a budget lets nothing more be asked."""
        return bool(self.route) and self.route[-1].cut is not None

    def refuse_silence(self) -> None:
        """Where every level that was asked raised, an empty answer would hide it.

        Raises:
            Exception: what the first of them raised.
        """
        errors = [one.error for one in self.found.values()]
        if errors and None not in errors:
            raise next(one for one in errors if one is not None)

    def given(self, hand_over: bool) -> Level | None:
        """The level whose answer is given: the accepted one; where nothing is handed over, else the nearest to it."""
        accepted = next((one for one in self.route if one.accepted), None)
        if accepted is not None or hand_over:
            return accepted
        return best_of(self.route)

    def told(self, route: Sequence[Level], given: Level | None, handed: bool) -> Step:
        """The deliberation."""
        text = str(given.answer) if given is not None else "handed over" if handed else "no answer"
        label = "no level is sure enough" if given is None else f"{given.name} answers"
        state: State = "chosen" if given is not None else "dead end"
        children = [self._step(one) for one in route]
        return Step("route", text, state=state, label=label, children=children)

    def _step(self, one: Level) -> Step:
        found = self.found.get(one.name)
        state: State = "chosen" if one.accepted else "open" if one.answered else "dead end"
        if found is None:
            return Step("step", "not asked", state="pruned", label=one.name, reason=one.reason)
        if found.candidate is not None:
            step = step_of(found.candidate, state, label=one.name)
        else:
            text = str(one.answer) if one.answer is not None else "no answer"
            step = Step("step", text, state=state, label=one.name)
            step.children = [Step("step", passage.text, score=passage.confidence, label=passage.source or passage.id)
                             for passage in one.passages]  # fmt: skip
        step.state, step.score, step.reason = state, one.confidence, one.reason
        if one.name in self.verdicts:
            step.children = [*step.children, *self.verdicts[one.name].told]
        return step


def accepted_as(route: Sequence[Level], given: Level | None) -> Route:
    """A route in which the level that is given is accepted, also where it is no more than the nearest to it."""
    why = "no level was sure enough, and this one came nearest"
    return Route(
        replace(one, accepted=True, reason=f"{one.reason}; {why}") if one is given and not one.accepted else one
        for one in route
    )


def _failed(found: Found) -> bool:
    """Whether a level did not work: it raised, or its model did not reply."""
    one = found.candidate
    lost = one is not None and one.abstention is not None and one.abstention.kind == "failed"
    return found.error is not None or lost


def _votes(found: Found) -> tuple[int, int] | None:
    """How many attempts say the same, and of how many, where there was a vote."""
    one: Candidate | None = found.candidate
    vote = evidence(one.prediction, "vote") if one is not None and one.prediction is not None else None
    if vote is None or not vote.votes or not hasattr(vote, "voters"):
        return None
    return len(vote.voters), vote.votes


def _asked_by(signature: Any, inputs: Mapping[str, Any]) -> str:
    """The input field that holds the question."""
    fields = signature.input_fields
    texts = [name for name, one in fields.items() if one.annotation is str and name != CONTEXT]
    known = [name for name in ASKED_BY if name in fields]
    return next(iter([*known, *texts, *fields, *inputs]), ASKED_BY[0])


def _known(levels: Mapping[str, AnyLevel], signature: Any, inputs: Mapping[str, Any]) -> list[str]:
    """The fields of the cascade and of all its levels, and conversations."""
    named = [name for one in levels.values() for name in takes(one) or ()]
    inside = [one for one in levels.values() if isinstance(one, dspy.Module)]
    signatures: list[Any] = [one.signature for level in inside for one in predictors_of(level)]
    put_out = [name for one in signatures for name in one.output_fields]
    talks = [name for name, value in inputs.items() if isinstance(value, dspy.History)]
    return [*signature.fields, *named, *put_out, *talks]


def _input_fields(level: AnyLevel) -> dict[str, Any]:
    """The input fields of a level's predictors, with their types."""
    signatures: list[Any] = [one.signature for one in predictors_of(level)] if isinstance(level, dspy.Module) else []
    return {name: one.annotation for signature in signatures for name, one in signature.input_fields.items()}
