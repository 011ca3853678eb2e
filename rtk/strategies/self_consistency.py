"""Self-consistency: many chains, one vote (Wang et al., 2022, arXiv:2203.11171)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import dspy

from rtk.answers import Vote, answer_fields, stopping, vote
from rtk.deliberation import State, Step
from rtk.errors import StrategyError
from rtk.statistics import proportion
from rtk.strategies.certainty import certainties
from rtk.strategies.flow import Candidate, Candidates, Flow, Outcome, ask
from rtk.strategies.sampling import predictor_of
from rtk.strategies.settings import Setting, check_whole
from rtk.strategies.strategy import Strategy, no_answer, step_of, submodule

RULES = ("majority", "confidence", "mean", "median")


class SelfConsistency(Strategy):
    """Sample many chains and vote on their answers.

    Given a signature, the chains are a `dspy.ChainOfThought` and share their samples with any other program that
    asks the same. Given a module, it is run `samples` times, each in a stream of its own.

    The winner's fields are the prediction's; `pred.completions` holds all candidates, the winner first;
    `pred.confidence` is the winner's share of the votes with its Wilson interval. Malformed, empty, refused and
    cut-off completions abstain. At temperature 0 all samples are one; it counts once, and the deliberation says so.

    With `stop=` the chains are asked for in waves, and no more of them once the vote is settled. Waves are as long as
    a rule needs at least before it can stop, so nothing is drawn that it would not have wanted when asked after every
    chain, and what it says follows from the chains in index order, whichever came first.

    Args:
        signature: a DSPy signature, its text, or any `dspy.Module`.
        samples: how many chains; the most of them, with `stop=`.
        vote: `"majority"`; `"confidence"`, where each chain weighs as much as its tokens were probable (their geometric
            mean; it asks for log-probabilities, so these are other requests); `"mean"` or `"median"` (of numbers); or a
            function from the answers (an `rtk.answers.Abstention` where there is none) to an `rtk.answers.Vote`.
        field: the output to vote on; by default the last one that is not reasoning.
        comparer: which answers are the same; see `rtk.answers.equal`.
        temperature: of the chains; the model's own by default.
        stop: None for all chains; `"beta"` (Adaptive-Consistency, arXiv:2305.11860), where the first of two answers is
            the more frequent one; `"window"` (ESC, arXiv:2401.10480), where a window of answers agrees; `"horizon"`,
            where the leader will still lead when all chains are there; or a function of the `rtk.answers.Vote` so far.
        certainty: of `"beta"` (0.95 by default) and `"horizon"` (0.935).
        window: of `"window"`, in chains; 5 by default.
        wave: chains that go out together at least; more than a rule needs take fewer rounds; what is drawn beyond its
            stop is kept, not consulted, and counted in `spent.overdrawn`.

    Raises:
        StrategyError: for a setting that cannot be; when called, for a `field` that no chain has.
    """

    samples = Setting(8)
    vote: Any = Setting("majority")
    field = Setting()
    comparer = Setting("auto")
    temperature = Setting()
    stop: Any = Setting()
    certainty = Setting()
    window = Setting()
    wave = Setting()

    def __init__(
        self,
        signature: Any,
        samples: int = 8,
        vote: str | Callable[[list[Any]], Vote] = "majority",
        *,
        field: str | None = None,
        comparer: Any = "auto",
        temperature: float | None = None,
        stop: str | Callable[[Vote], bool] | None = None,
        certainty: float | None = None,
        window: int | None = None,
        wave: int | None = None,
    ) -> None:
        super().__init__()
        if not callable(vote) and vote not in RULES:
            raise StrategyError(f"vote={vote!r} is no rule", mend=f"one of {', '.join(RULES)}, or a function")
        check_whole("samples", samples)
        check_whole("wave", 1 if wave is None else wave)
        self.stop, self.certainty, self.window, self.wave = stop, certainty, window, wave
        if isinstance(stop, str):
            stopping(stop, certainty, window)  # which refuses what cannot be
        if stop is not None and vote in RULES[1:]:
            raise StrategyError(f"stop= counts votes; vote={vote!r} does not", mend='vote="majority", or no stop=')
        self.samples, self.vote, self.field = samples, vote, field
        self.comparer, self.temperature = comparer, temperature
        self.chain = submodule(signature) if isinstance(signature, dspy.Module) else dspy.ChainOfThought(signature)
        if temperature is not None and not isinstance(self.chain, dspy.ChainOfThought | dspy.Predict):
            raise StrategyError("temperature= reaches a predictor's chains", mend="set it on the module's predictors")
        if vote == "confidence" and predictor_of(self.chain) is None:
            raise StrategyError(
                'vote="confidence" weighs a predictor\'s chains, not the runs of a module', mend="leave out vote="
            )

    def asks_once(self) -> bool:
        """Whether all chains are asked for before anything comes."""
        return self.stop is None

    def flow(self, **inputs: Any) -> Flow:
        """Waves of chains until the vote is settled; one wave where nothing stops it."""
        config: dict[str, Any] = {} if self.temperature is None else {"temperature": self.temperature}
        config |= {"logprobs": True} if self.vote == "confidence" else {}
        flat, chains, seen = predictor_of(self.chain) is not None, Candidates(), 0
        needed = self._needed(chains)
        while needed and chains.cut is None and len(chains.distinct()) == len(chains):
            if chains:
                yield self._outcome_of(chains, seen)  # the best so far
            size, first = min(self.samples - len(chains), max(needed, self.wave or 1)), 0 if flat else len(chains)
            chains.go_on((yield ask(self.chain, inputs, samples=size, rollout=first, config=config)))
            seen = min(seen + needed, len(chains))
            while (needed := self._needed(chains[:seen])) and seen < len(chains):
                seen = min(seen + needed, len(chains))
        return self._outcome_of(chains, seen)

    def _needed(self, chains: list[Candidate]) -> int:
        """How many further chains there must be before the vote can be settled."""
        left = self.samples - len(chains)
        if not left or self.stop is None:
            return left
        found = self._count(chains, self._voted_on(chains))
        if callable(self.stop):
            return 0 if chains and self.stop(found) else 1
        return stopping(self.stop, self.certainty, self.window)(found, left)

    def _outcome_of(self, chains: Candidates, seen: int) -> Outcome:
        """What the first chains come to; the others are not looked at."""
        votes = Candidates(chains[:seen]).distinct()
        outcome = self._elected(votes)
        outcome.unused = chains[seen:]
        if outcome.deliberation is not None:
            outcome.deliberation.reason = self._why(seen, len(votes), chains.cut is None)
        return outcome

    def _why(self, seen: int, votes: int, whole: bool) -> str:
        """Why there are fewer votes than samples asked for."""
        if votes < seen:
            return f"at temperature 0 samples are the same one, which counts once: {seen} asked for, {votes} counted"
        if whole and seen < self.samples:
            return f"settled after {seen} of {self.samples}: {_name(self.stop)}"
        return ""

    def _elected(self, chains: Candidates) -> Outcome:
        name = self._voted_on(chains)
        result = self._count(chains, name)
        if name is None or result.winner_index is None:
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

    def _voted_on(self, chains: Sequence[Candidate]) -> str | None:
        """The field asked for, or the last output that is not reasoning; None where no chain has an answer."""
        names = next((list(chain.prediction.keys()) for chain in chains if chain.prediction is not None), [])
        if self.field is None or not names:
            return answer_fields(names)[-1] if names else None
        if self.field not in names:
            raise StrategyError(f"field={self.field!r} is no output of the chains", mend=f"one of {', '.join(names)}")
        return self.field

    def _count(self, chains: Sequence[Candidate], name: str | None) -> Vote:
        answers = [chain.answer(name or "") for chain in chains]
        if name is not None and self.vote == "confidence":
            return vote(answers, rule="weighted", weights=certainties(chains), comparer=self.comparer)
        if name is None or not callable(self.vote):
            return vote(answers, rule="majority" if name is None else self.vote, comparer=self.comparer)
        found = self.vote(answers)
        if not isinstance(found, Vote):
            raise StrategyError(
                f"the vote function returned {type(found).__name__}",
                mend="return an rtk.answers.Vote, such as rtk.answers.vote(answers, …) gives",
            )
        return found

    def _nothing(self) -> dspy.Prediction:
        """No answer, in the fields of what is voted on."""
        return no_answer(self.chain)


def _name(stop: Any) -> str:
    return f'stop="{stop}"' if isinstance(stop, str) else getattr(stop, "__name__", "stop=")


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
    if rule == "confidence":
        said = f"{said}, with {result.share:.0%} of the weight"
        for child, weight in zip(children, certainties(chains), strict=True):
            child.score = weight
    return Step("vote", said, score=result.share, state="chosen", label="vote", children=children)


def _label(chain: Candidate, name: str | None) -> str:
    return "" if chain.prediction is None or name is None else str(chain.prediction.get(name, ""))
