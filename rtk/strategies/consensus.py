"""Votes on free text by asking a model: which answers mean the same, and which is the most consistent one."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dspy
from dspy.signatures.signature import make_signature

from rtk.answers import Comparer, canonical
from rtk.strategies.finishing import shortened
from rtk.strategies.flow import Candidate, Flow, Outcome, ask
from rtk.strategies.inputs import Inputs
from rtk.strategies.rewards import given, verdict_of

SHOWN = 4000  # characters of an answer that a judge sees; of a longer one its beginning and its end


def same_meaning() -> dspy.Predict:
    """The predictor that judges whether two answers mean the same."""
    fields: dict[str, Any] = {
        "question": (str, dspy.InputField()),
        "one": (str, dspy.InputField(desc="an answer to it")),
        "other": (str, dspy.InputField(desc="another answer to it")),
        "same": (bool, dspy.OutputField(desc="whether both say the same in answer to the question")),
    }
    told = (
        "Judge whether two answers to a question mean the same. Wording, order and detail that the question does not "
    )
    return dspy.Predict(make_signature(fields, f"{told}ask for make no difference."))


def most_consistent() -> dspy.Predict:
    """The predictor of universal self-consistency (Chen et al., 2023, arXiv:2311.17311)."""
    fields: dict[str, Any] = {
        "question": (str, dspy.InputField()),
        "responses": (str, dspy.InputField(desc="numbered responses to it")),
        "most_consistent": (str, dspy.OutputField(desc="the number of one response, and nothing else")),
    }
    told = "Several responses to one question are given. Choose the one that most of them agree with."
    return dspy.Predict(make_signature(fields, told))


def question_of(shown: Inputs) -> str:
    """What was asked, as one text: the only input, or all of them by name."""
    values = list(shown.values())
    return str(values[0]) if len(values) == 1 else "\n".join(f"{name}: {value}" for name, value in shown.items())


@dataclass(frozen=True)
class Verdict:
    """What a judge said of an answer and the earliest of a cluster.

    Attributes:
        key: the answer's.
        place: the cluster's, in the order of their earliest answers.
        candidate: what the judge said.
        same: whether they mean the same.
    """

    key: Hashable
    place: int
    candidate: Candidate
    same: bool


class Sorting:
    """Answers sorted into clusters by a judge.

    Each answer, in index order, is compared with the earliest one of each cluster, in their order, until one means the
    same; else it begins a cluster. Answers that are equal without a judge are one. What is asked, and what follows from
    it, is the same whether the answers come at once or one by one.

    Args:
        comparer: which answers are equal without asking; see `rtk.answers.equal`.
        exclude: names of fields that do not count in that.
    """

    def __init__(self, comparer: Comparer, exclude: Sequence[str]) -> None:
        self._comparer: Comparer = comparer
        self._exclude = exclude
        self._first: list[str] = []
        self._place: dict[Hashable, int] = {}
        self.verdicts: list[Verdict] = []

    def key(self, answer: Any) -> Hashable:
        """What equal answers share."""
        exclude = () if callable(self._comparer) else self._exclude
        found = canonical(answer, self._comparer, exclude)
        return (type(answer).__name__, str(answer)) if found is None else found

    def same(self, a: Any, b: Any) -> bool:
        """Whether two answers are the same, as far as it was asked."""
        one, other = self.key(a), self.key(b)
        return one == other or (one in self._place and self._place[one] == self._place.get(other))

    def on(self, answer: Any) -> list[Verdict]:
        """What was said of the cluster in which an answer lies."""
        place = self._place.get(self.key(answer))
        return [one for one in self.verdicts if place in (one.place, self._place.get(one.key))]

    def sort(self, judge: dspy.Module, shown: Inputs, answers: Sequence[Any], best: Callable[[], Outcome]) -> Flow:
        """Sort further answers; for `yield from`. What is asked side by side is compared with the same cluster.

        Args:
            judge: with fields for `question`, `one`, `other`, and a verdict as its last output.
            shown: the inputs of what was asked.
            answers: those that count, in index order, also those it knows.
            best: the best so far, should a budget end before all is asked.

        Returns:
            Whether a budget let all be asked.
        """
        waiting: dict[Hashable, str] = {}
        for one in answers:
            if (key := self.key(one)) not in self._place:
                waiting.setdefault(key, str(one))
        place, question = 0, {"question": question_of(shown)}
        while waiting:
            if place == len(self._first):
                key = next(iter(waiting))
                self._first.append(waiting.pop(key))
                self._place[key] = place
            pairs = [{"one": shortened(self._first[place], SHOWN), "other": shortened(one, SHOWN)}
                     for one in waiting.values()]  # fmt: skip
            if pairs:
                yield best()
                asked = yield [ask(judge, given(judge, shown, {**question, **pair})) for pair in pairs]
                waiting = self._heard(place, waiting, asked)
                if any(got.cut is not None for got in asked):
                    return False
            place += 1
        return True

    def _heard(self, place: int, waiting: Mapping[Hashable, str], asked: list[Any]) -> dict[Hashable, str]:
        """Note what was said; those that are not the same."""
        left = {}
        for (key, text), got in zip(waiting.items(), asked, strict=True):
            said = [Verdict(key, place, one, (verdict_of(one)[0] or 0) >= 0.5) for one in got]
            self.verdicts += said
            if any(one.same for one in said):
                self._place[key] = place
            else:
                left[key] = text
        return left


def responses_of(texts: Sequence[str], most: int) -> str:
    """Numbered responses for the prompt, each of at most so many characters."""
    return "\n\n".join(f"Response {number}:\n{shortened(one, most)}" for number, one in enumerate(texts, 1))


def number_named(said: Any, most: int) -> int | None:
    """The one number from 1 to `most` that a reply names; None where it names none, another, or several."""
    found = {int(one) for one in re.findall(r"\d{1,9}", str(said or ""))}
    return found.pop() if len(found) == 1 and max(found) <= most and min(found) >= 1 else None
