"""Self-consistency: many chains, one vote (Wang et al., 2022, arXiv:2203.11171)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dspy

from rtk.answers import Vote, answer_fields, vote
from rtk.deliberation import State, Step
from rtk.errors import StrategyError
from rtk.statistics import proportion
from rtk.strategies.flow import Candidate, Candidates, Flow, Outcome, ask
from rtk.strategies.settings import Setting
from rtk.strategies.strategy import Strategy, step_of, submodule

RULES = ("majority", "mean", "median")


class SelfConsistency(Strategy):
    """Sample many chains and vote on their answers.

    Given a signature, the chains are a `dspy.ChainOfThought` and share their samples with any other program that
    asks the same. Given a module, it is run `samples` times, each in a stream of its own.

    The winner's fields are the prediction's; `pred.completions` holds all candidates, the winner first;
    `pred.confidence` is the winner's share of the votes with its Wilson interval. Malformed, empty, refused and
    cut-off completions abstain. At temperature 0 all samples are one; it counts once, and the deliberation says so.

    Args:
        signature: a DSPy signature, its text, or any `dspy.Module`.
        samples: how many chains.
        vote: `"majority"`, `"mean"` or `"median"` (of numbers), or a function from the answers (an
            `rtk.answers.Abstention` where there is none) to an `rtk.answers.Vote`.
        field: the output to vote on; by default the last one that is not reasoning.
        comparer: which answers are the same; see `rtk.answers.equal`.
        temperature: of the chains; the model's own by default.

    Raises:
        StrategyError: for a setting that cannot be; when called, for a `field` that no chain has.
    """

    asks_once = True
    samples = Setting(8)
    vote: Any = Setting("majority")
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
            raise StrategyError("temperature= reaches a predictor's chains", mend="set it on the module's predictors")

    def flow(self, **inputs: Any) -> Flow:
        """One ask for all samples, then the vote."""
        config = {} if self.temperature is None else {"temperature": self.temperature}
        chains = yield ask(self.chain, inputs, samples=self.samples, rollout=0, config=config)
        votes = chains.distinct()
        outcome = self._elected(votes)
        if len(votes) < len(chains) and outcome.deliberation is not None:
            outcome.deliberation.reason = _once(len(chains), len(votes))
        return outcome

    def _elected(self, chains: Candidates) -> Outcome:
        name = self._voted_on(chains)
        result = self._count(chains.answers(name)) if name is not None else None
        if name is None or result is None or result.winner_index is None:
            return Outcome(self._nothing(), deliberation=_told(chains, None, name, self.vote))
        winner = chains[result.winner_index]
        return Outcome(
            _prediction(winner, name, result),
            used=[winner],
            completions=[_prediction(winner, name, result), *_others(chains, winner)],
            deliberation=_told(chains, result, name, self.vote),
            confidence=proportion(len(result.voters), result.votes),
            vote=result,
        )

    def _voted_on(self, chains: Candidates) -> str | None:
        """The field asked for, or the last output that is not reasoning; None where no chain has an answer."""
        names = next((list(chain.prediction.keys()) for chain in chains if chain.prediction is not None), [])
        if self.field is None or not names:
            return answer_fields(names)[-1] if names else None
        if self.field not in names:
            raise StrategyError(f"field={self.field!r} is no output of the chains", mend=f"one of {', '.join(names)}")
        return self.field

    def _count(self, answers: list[Any]) -> Vote:
        if not callable(self.vote):
            return vote(answers, rule=self.vote, comparer=self.comparer)
        found = self.vote(answers)
        if not isinstance(found, Vote):
            raise StrategyError(
                f"the vote function returned {type(found).__name__}",
                mend="return an rtk.answers.Vote, such as rtk.answers.vote(answers, …) gives",
            )
        return found

    def _nothing(self) -> dspy.Prediction:
        """No answer, in the fields of a strategy that votes on another one's answers."""
        return self.chain._nothing() if isinstance(self.chain, Strategy) else super()._nothing()


def _once(asked: int, votes: int) -> str:
    """Why there are fewer votes than samples asked for."""
    return f"at temperature 0 samples are the same one, which counts once: {asked} asked for, {votes} counted"


def _prediction(winner: Candidate, name: str, result: Vote) -> dspy.Prediction:
    """The winner's own prediction; where the vote made a value of its own (a mean), with that value in it."""
    own = winner.prediction
    if own is None or own.get(name, None) == result.winner:
        return own or dspy.Prediction()
    return dspy.Prediction(**{**dict(own.items()), name: result.winner})


def _others(chains: Candidates, winner: Candidate) -> list[dspy.Prediction]:
    return [chain.prediction for chain in chains if chain.prediction is not None and chain is not winner]


def _told(chains: Candidates, result: Vote | None, name: str | None, rule: Any) -> Step:
    if result is None or result.winner_index is None:
        return Step("vote", "no answer", label="vote of 0", state="dead end", children=[step_of(c) for c in chains])
    states: dict[int, State] = {i: "kept" if i in result.voters else "open" for i in range(len(chains))}
    states[result.winner_index] = "chosen"
    children = [step_of(chain, states[i], label=_label(chain, name)) for i, chain in enumerate(chains)]
    said = f"{len(result.voters)} of {result.votes} for {result.winner}"
    if rule in ("mean", "median"):
        said = f"the {rule} of {result.votes} is {result.winner}"
    return Step("vote", said, score=result.share, state="chosen", label="vote", children=children)


def _label(chain: Candidate, name: str | None) -> str:
    return "" if chain.prediction is None or name is None else str(chain.prediction.get(name, ""))
