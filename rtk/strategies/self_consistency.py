"""Self-consistency: many chains, one vote (Wang et al., 2022, arXiv:2203.11171)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dspy

from rtk.answers import Vote, vote
from rtk.deliberation import Step
from rtk.errors import StrategyError
from rtk.statistics import Estimate, proportion
from rtk.strategies.flow import Candidate, Candidates, Flow, Outcome, ask
from rtk.strategies.settings import Setting
from rtk.strategies.strategy import Strategy, step_of, submodule

RULES = ("majority", "mean", "median")
NOT_ANSWERS = ("reasoning", "rationale", "thoughts")


class SelfConsistency(Strategy):
    """Sample many chains and vote on their answers.

    Given a signature, the chains are a `dspy.ChainOfThought` and share their samples with any other program that
    asks the same. Given a module, it is run `samples` times, each in a stream of its own.

    The winner's fields are the prediction's; `pred.completions` holds all candidates, the winner first;
    `pred.confidence` is the winner's share of the votes with its Wilson interval. Malformed, empty, refused and
    cut-off completions abstain. At temperature 0 all samples are one, and it counts once.

    Args:
        signature: a DSPy signature, its text, or any `dspy.Module`.
        samples: how many chains.
        vote: `"majority"`, `"mean"` or `"median"` (of numbers), or a function from the answers (an
            `rtk.answers.Abstention` where there is none) to an `rtk.answers.Vote`.
        field: the output to vote on; by default the last one that is not reasoning.
        comparer: which answers are the same; see `rtk.answers.equal`.
        temperature: of the chains; the model's own by default.
    """

    samples = Setting(8)
    vote = Setting("majority")
    field = Setting()
    comparer = Setting("auto")
    temperature = Setting()

    def __init__(
        self,
        signature: Any,
        samples: int = 8,
        vote: str | Callable[[list[Any]], Vote] = "majority",
        *,
        field: str | None = None,
        comparer: Any = "auto",
        temperature: float | None = None,
    ) -> None:
        super().__init__()
        if not callable(vote) and vote not in RULES:
            raise StrategyError(f"vote={vote!r} is no rule", mend=f"one of {', '.join(RULES)}, or a function")
        if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
            raise StrategyError(f"samples={samples!r}", mend="a whole number from 1 on")
        self.samples, self.vote, self.field = samples, vote, field
        self.comparer, self.temperature = comparer, temperature
        self.chain = submodule(signature) if isinstance(signature, dspy.Module) else dspy.ChainOfThought(signature)
        if temperature is not None and not isinstance(self.chain, dspy.ChainOfThought | dspy.Predict):
            raise StrategyError("temperature= reaches a signature's own chains", mend="set it on the module's predictors")

    def flow(self, **inputs: Any) -> Flow:
        """One ask for all samples, then the vote."""
        config = {} if self.temperature is None else {"temperature": self.temperature}
        chains = yield ask(self.chain, inputs, samples=self.samples, config=config)
        return self._elected(_distinct(chains))

    def _elected(self, chains: Candidates) -> Outcome:
        name = self.field or _answer_field(chains)
        if name is None:
            return Outcome(self._nothing(), used=[], deliberation=_told(chains, None, name))
        result = self._count(chains.answers(name))
        if result.winner_index is None:
            return Outcome(self._nothing(), used=[], deliberation=_told(chains, result, name))
        winner = chains[result.winner_index]
        return Outcome(
            _prediction(winner, name, result),
            used=[winner],
            completions=[_prediction(winner, name, result), *_others(chains, winner)],
            deliberation=_told(chains, result, name),
            confidence=_confidence(result),
        )

    def _count(self, answers: list[Any]) -> Vote:
        if callable(self.vote):
            return self.vote(answers)
        return vote(answers, rule=self.vote, comparer=self.comparer)


def _distinct(chains: Candidates) -> Candidates:
    """One candidate for each sample: at temperature 0 all of them are the same one, and it votes once."""
    seen: dict[Any, Candidate] = {}
    for chain in chains:
        seen.setdefault(chain.address or id(chain), chain)
    found = Candidates(seen.values())
    found.stopped = chains.stopped
    return found


def _answer_field(chains: Candidates) -> str | None:
    """The last output that is not reasoning."""
    first = next((chain.prediction for chain in chains if chain.prediction is not None), None)
    names = [] if first is None else [name for name in first.keys() if name not in NOT_ANSWERS]  # noqa: SIM118
    return names[-1] if names else None


def _prediction(winner: Candidate, name: str, result: Vote) -> dspy.Prediction:
    """The winner's own prediction; where the vote made a value of its own (a mean), with that value in it."""
    own = winner.prediction
    if own is None or own.get(name, None) == result.winner:
        return own or dspy.Prediction()
    return dspy.Prediction(**{**dict(own.items()), name: result.winner})


def _others(chains: Candidates, winner: Candidate) -> list[dspy.Prediction]:
    return [chain.prediction for chain in chains if chain.prediction is not None and chain is not winner]


def _confidence(result: Vote) -> Estimate:
    """The winner's share of the votes."""
    return proportion(len(result.clusters[0].members), result.votes)


def _told(chains: Candidates, result: Vote | None, name: str | None) -> Step:
    if result is None or result.winner_index is None:
        return Step("vote", "no answer", label="vote of 0", state="dead end", children=[step_of(c) for c in chains])
    winners = set(result.clusters[0].members)
    states = {i: "kept" if i in winners else "open" for i in range(len(chains))} | {result.winner_index: "chosen"}
    children = [step_of(chain, states[i], label=_label(chain, name)) for i, chain in enumerate(chains)]
    share = f"{len(winners)} of {result.votes} for {result.winner}"
    return Step("vote", share, score=result.share if hasattr(result, "share") else None, state="chosen",
                label="vote", children=children)  # fmt: skip


def _label(chain: Candidate, name: str | None) -> str:
    return "" if chain.prediction is None or name is None else str(chain.prediction.get(name, ""))
