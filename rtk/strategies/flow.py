"""The protocol: what a strategy's generator yields, and what it is sent.

A strategy is written once, as a generator `flow(self, **inputs)`. It yields

* `ask(program, inputs, samples=n)`: n candidates of a signature's predictor, a module or another strategy; it is
  sent `Candidates`, in index order;
* a list of asks and of child generators, which run side by side; it is sent the list of their results, in order;
* an `Outcome`, a `Candidate`, a prediction, or a function of nothing that makes one: the best so far, should a
  budget run out; it is sent None.

It returns an `Outcome`, a `Candidate` or a prediction. Where a budget admits nothing more of an ask, `BudgetSpent`
is raised at the yield; a strategy that lets it pass returns its best so far. In a list, that is so where it admits
nothing of any ask, or where a child generator came to nothing; else what was cut is shorter, and asking it for more
than it holds raises `BudgetSpent`.

Every decision must be a function of the candidates in index order, never of which reply came first.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dspy

from rtk.answers import Abstention
from rtk.deliberation import Step
from rtk.errors import BudgetSpent, StrategyError
from rtk.samples import Sample

Flow = Generator[Any, Any, Any]
Each = Callable[["Candidate"], Flow]
Heard = Callable[["Candidates"], None]


@dataclass(frozen=True)
class AskFor:
    """One ask of a program; made by `ask`."""

    program: dspy.Module
    inputs: dict[str, Any]
    samples: int
    rollout: int | None
    config: dict[str, Any]
    shared: bool = False
    each: Each | None = None
    heard: Heard | None = None


def ask(
    program: dspy.Module,
    inputs: Mapping[str, Any],
    *,
    samples: int = 1,
    rollout: int | None = None,
    config: Mapping[str, Any] | None = None,
    shared: bool = False,
    each: Each | None = None,
    heard: Heard | None = None,
) -> AskFor:
    """Ask a program for candidates; yield it from a strategy's `flow`.

    Args:
        program: a predictor, a module or a strategy.
        inputs: its input fields.
        samples: how many candidates.
        rollout: where something *new* is wanted from the same program and inputs (a second draft): its number. For
            several candidates of a module, the number of the first.
        config: sampling parameters for a predictor, such as `temperature`.
        shared: whether it is asked once in the whole strategy call: wherever else in it the same is asked so, also in
            child generators, the same candidates are given. For what does not depend on who asks, such as the value
            of a state that a search reaches twice.
        each: makes a child generator of a candidate, which is run as soon as that candidate came; what it comes to is
            on the candidate as `made`. Under a budget it is run when all of them came; it must not matter.
        heard: told, where somebody watches, of the candidates so far whenever their row without a gap is longer; for
            events alone, no decision.

    Raises:
        StrategyError: for anything that is no module, or a number that cannot be.
    """
    if not isinstance(program, dspy.Module):
        raise StrategyError(f"ask({program!r:.60}): not a module", mend="wrap a signature in dspy.Predict(signature)")
    for name, number, least in (("samples", samples, 1), ("rollout", rollout or 0, 0)):
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise StrategyError(f"ask(…, {name}={number!r}): a whole number from {least} on is needed")
    if shared and (each is not None or heard is not None):
        raise StrategyError("ask(…, shared=True) with each= or heard=", mend="what is shared has no asker of its own")
    return AskFor(program, dict(inputs), samples, rollout, dict(config or {}), shared, each, heard)


TraceEntry = tuple[Any, dict[str, Any], Any]


@dataclass(eq=False, repr=False)
class Candidate:
    """One candidate: a prediction, or the reason why there is none.

    Attributes:
        index: its place in the ask, from 0.
        prediction: what the program predicted; None where it abstained.
        abstention: why there is no prediction.
        sample: the sample it was read from, where it is one completion.
        trace: the predictor calls it came from, as DSPy's optimizers read them.
        deliberation: what happened inside, where the program is a strategy.
        seconds: what it took when it was drawn.
        cut: the end of a budget that cut it short.
        addresses: where the samples it rests on are kept, as far as they are rtk's.
        made: what the `each=` of its ask made of it.
    """

    index: int
    prediction: dspy.Prediction | None = None
    abstention: Abstention | None = None
    sample: Sample | None = None
    trace: list[TraceEntry] = field(default_factory=list)
    deliberation: Step | None = None
    seconds: float = 0.0
    cut: BudgetSpent | None = None
    addresses: frozenset[str] = frozenset()
    made: Any = None

    def __repr__(self) -> str:
        return f"Candidate({self.index}, {self.abstention if self.prediction is None else self.prediction!r})"

    def at(self, index: int) -> Candidate:
        """The same at another place, with a prediction of its own: a strategy or a metric may write over either."""
        made = object.__new__(Candidate)
        made.__dict__.update(self.__dict__, index=index, made=None)
        if self.prediction is not None:
            own = made.prediction = object.__new__(type(self.prediction))
            own.__dict__.update(self.prediction.__dict__, _store=dict(self.prediction._store))
        return made

    def answer(self, name: str) -> Any:
        """An output field, or the abstention."""
        if self.prediction is None:
            return self.abstention or Abstention("failed")
        return self.prediction.get(name, None)

    @property
    def tokens(self) -> int:
        """Tokens written for it."""
        if self.sample is not None:
            return self.sample.usage.completion_tokens
        return sum(step.tokens for _, step in _steps(self.deliberation))

    @property
    def address(self) -> str | None:
        """Where its sample is kept."""
        return str(self.sample.address) if self.sample is not None else None


def _steps(root: Step | None) -> list[tuple[int, Step]]:
    if root is None:
        return []
    return [(0, root)] + [pair for child in root.children for pair in _steps(child)]


class Candidates(list[Candidate]):
    """The candidates of one ask, in index order.

    Attributes:
        cut: the end of a budget that came before the rest of them. Asking for one of those by its index raises it.
        program: what was asked.
        asked: the whole ask.
    """

    cut: BudgetSpent | None = None
    program: Any = None
    asked: AskFor | None = None

    def __getitem__(self, index: Any) -> Any:
        """A candidate, or a list of them for a slice."""
        if self.cut is not None and isinstance(index, int) and not -len(self) <= index < len(self):
            raise self.cut
        return super().__getitem__(index)

    def go_on(self, further: Candidates) -> None:
        """Take further candidates of the same program behind these, as if one ask had brought them all."""
        for candidate in further:
            candidate.index = len(self)
            self.append(candidate)
        self.cut = further.cut

    @property
    def stopped(self) -> str | None:
        """The unit that ran out before the rest of them."""
        return self.cut.limit if self.cut is not None else None

    def distinct(self) -> Candidates:
        """One candidate for each sample: at temperature 0 all of them are the same one, and it counts once.

        Candidates of a module are one where they rest on the same samples and say the same.
        """
        groups: dict[Any, list[Candidate]] = {}
        for one in self:
            groups.setdefault(one.addresses or id(one), []).append(one)
        if len(groups) == len(self):  # as nearly always
            found = Candidates(self)
            found.cut = self.cut
            return found
        several = [group for group in groups.values() if len(group) > 1]
        twins = {id(one) for group in several if _all_say_the_same(group) for one in group[1:]}
        found = Candidates(one for one in self if id(one) not in twins)
        found.cut = self.cut
        return found

    def answers(self, name: str) -> list[Any]:
        """One output field of all of them; an `Abstention` where there is none."""
        return [candidate.answer(name) for candidate in self]

    @property
    def seconds(self) -> float:
        """What the slowest of them took when it was drawn; they run side by side."""
        return max((candidate.seconds for candidate in self), default=0.0)


def _all_say_the_same(group: list[Candidate]) -> bool:
    return all(one.prediction == group[0].prediction for one in group)


@dataclass(frozen=True)
class Attempts:
    """What an answer was chosen from.

    Attributes:
        candidates: in index order.
        rewards: of each, what a verifier gave it; empty where none was asked.
        consulted: how many of them, the first ones, were looked at.
        asked: the ask that brought the first of them.
    """

    candidates: tuple[Candidate, ...] = ()
    rewards: tuple[float | None, ...] = ()
    consulted: int = 0
    asked: AskFor | None = None


@dataclass
class Outcome:
    """What a strategy arrives at, for those who want to say more than a prediction.

    Attributes:
        prediction: the answer; a candidate's own, or a new one.
        used: the candidates it rests on, in the order of asking; their predictor calls go on DSPy's trace.
        completions: all candidates a reader may want as `pred.completions`, the chosen one first.
        deliberation: what happened.
        confidence: how sure the strategy is, with its interval.
        unused: candidates that were paid for and not consulted: it had stopped before them.
        vote: the `rtk.answers.Vote` behind it, where there was one.
        attempts: the candidates that the answer was chosen from, in index order, the unused ones last; by default those
            of its only ask, where the prediction is one of them.
        rewards: of each attempt, what a verifier gave it; None where it was not asked. Empty where there is none.
        about: further evidence by its name on `rtk.Prediction`: `route`, `hand_over`, `explanation`.
    """

    prediction: dspy.Prediction
    used: Sequence[Candidate] = ()
    completions: Sequence[dspy.Prediction] = ()
    deliberation: Step | None = None
    confidence: Any = None
    unused: Sequence[Candidate] = ()
    vote: Any = None
    attempts: Sequence[Candidate] = ()
    rewards: Sequence[float | None] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
