"""The votes of one call: which answers count, how much each weighs, and what is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import dspy

from rtk.answers import Abstention, FieldsVote, Vote, answer_fields, vote, vote_fields
from rtk.deliberation import State, Step
from rtk.errors import StrategyError
from rtk.strategies.certainty import certainties, mean_logprob
from rtk.strategies.consensus import Sorting
from rtk.strategies.flow import Candidate, Candidates
from rtk.strategies.rewards import Rewarded
from rtk.strategies.strategy import step_of

QUANTITIES = ("mean", "median", "trimmed_mean")
FREE_TEXT = ("medoid", "judge", "universal")


@dataclass(eq=False)
class Ballot:
    """How one call's chains are counted, and what was found out for that.

    Attributes:
        rule: see `rtk.SelfConsistency`.
        output: the one asked for; None for the last one that is not reasoning.
        comparer: which answers are the same.
        exclude: names of fields that do not count in comparing.
        trim: of a trimmed mean.
        sorting: a judge's clusters, for `"judge"`.
        rewards: a verifier's weights by the `id` of the chain, for `"weighted"`; None before it was asked.
        finished: what was asked of chains that were cut off, by the `id` of the chain.
        pick: the chain that `"universal"` chose, and the model's reply; None before it was asked.
    """

    rule: Any
    output: str | None = None
    comparer: Any = "auto"
    exclude: Sequence[str] = ()
    trim: float | None = None
    sorting: Sorting | None = None
    rewards: dict[int, Rewarded] | None = None
    finished: dict[int, Candidate] = field(default_factory=dict)
    pick: tuple[Candidate | None, Candidate] | None = None
    _last: tuple[tuple[int, ...], Vote, list[float] | None] | None = None

    def forget(self) -> None:
        """Count anew: something was found out."""
        self._last = None

    # --- answers ---

    def names(self, chains: Sequence[Candidate]) -> list[str]:
        """The outputs that are voted on: one, or several field by field; none where no chain has an answer.

        Raises:
            StrategyError: for a field that no chain has.
        """
        found = next((list(chain.prediction.keys()) for chain in chains if chain.prediction is not None), [])
        if self.output is None or not found:
            return answer_fields(found) if self.rule == "fields" else answer_fields(found)[-1:]
        if self.output not in found:
            raise StrategyError(f"field={self.output!r} is no output of the chains", mend=f"one of {', '.join(found)}")
        return [self.output]

    def answers(self, chains: Sequence[Candidate]) -> list[Any]:
        """What each chain answered, an abstention where it did not."""
        names = self.names(chains)
        if len(names) < 2:
            return [chain.answer(names[0] if names else "") for chain in chains]
        return [
            chain.answer("") if chain.prediction is None else {name: chain.answer(name) for name in names}
            for chain in chains
        ]

    def counted(self, chains: Sequence[Candidate]) -> list[Any]:
        """The answers that count, in index order."""
        members = sorted(index for one in self.count(chains).clusters for index in one.members)
        answers = self.answers(chains)
        return [answers[index] for index in members]

    # --- counting ---

    def count(self, chains: Sequence[Candidate]) -> Vote:
        """The vote of some chains; that of the same ones is counted once."""
        return self._counted(chains)[0]

    def weights(self, chains: Sequence[Candidate]) -> list[float] | None:
        """How much each chain weighs; None where all weigh the same."""
        return self._counted(chains)[1]

    def _counted(self, chains: Sequence[Candidate]) -> tuple[Vote, list[float] | None]:
        key = tuple(map(id, chains))
        if self._last is None or self._last[0] != key:
            weights = self._weighed(chains)
            self._last = (key, self._scored(self._elected(chains, weights), chains), weights)
        return self._last[1:]

    def _weighed(self, chains: Sequence[Candidate]) -> list[float] | None:
        if self.rule == "confidence":
            return certainties(chains)
        if self.rule == "weighted" and self.rewards is not None:
            known = [self.rewards.get(id(chain)) for chain in chains]
            return [max(0.0, one.amount or 0.0) if one is not None else 0.0 for one in known]
        return None

    def _elected(self, chains: Sequence[Candidate], weights: list[float] | None) -> Vote:
        answers = self.answers(chains)
        if callable(self.rule) and self.names(chains):
            return _checked(self.rule(answers))
        exclude = self._excluded(answers)
        if self.rule == "fields":
            return self._by_fields(answers, exclude)
        if self.rule in FREE_TEXT:
            return self._agreed(vote(answers, rule="medoid", comparer=self._meaning(), exclude=exclude), chains)
        if self.rule in QUANTITIES:
            trim = self.trim if self.rule == "trimmed_mean" else None
            rule: Any = self.rule
            return vote(answers, rule=rule, trim=trim, comparer=self.comparer, exclude=exclude)
        rule = "majority" if weights is None else "weighted"
        return vote(answers, rule=rule, weights=weights, comparer=self.comparer, exclude=exclude)

    def _by_fields(self, answers: Sequence[Any], exclude: Sequence[str]) -> Vote:
        found = vote_fields(answers, comparer=self.comparer, exclude=exclude)
        whole = [one for one in answers if one is not None and not isinstance(one, Abstention)]
        if whole and not found.votes:
            raise StrategyError(
                f'vote="fields" on answers without fields, such as {whole[0]!r:.60}',
                mend="give the signature several outputs, or one with fields (a pydantic object); or leave out vote=",
            )
        return found

    def _meaning(self) -> Any:
        """Which free texts are the same: as a judge has it, or by how they are written."""
        if self.sorting is not None:
            return self.sorting.same
        return "similar" if self.comparer == "auto" else self.comparer

    def _excluded(self, answers: Sequence[Any]) -> Sequence[str]:
        """Names that do not count; those of a function or a judge are in it."""
        if callable(self.comparer) or self.sorting is not None:
            return ()
        calls = any(isinstance(one, dspy.ToolCalls) for one in answers)  # whose id is a new one each time
        return [*self.exclude, *(["tool_calls.id"] if calls else [])]

    def _agreed(self, found: Vote, chains: Sequence[Candidate]) -> Vote:
        """The vote with the winner that a model chose, where it chose one."""
        chosen = self.pick[0] if self.pick is not None else None
        place = next((place for place, chain in enumerate(chains) if chain is chosen), None)
        own = next((one for one in found.clusters if place in one.members), None)
        if place is None or own is None:
            return found
        return replace(found, winner=self.answers(chains)[place], winner_index=place, share=own.share)

    def _scored(self, found: Vote, chains: Sequence[Candidate]) -> Vote:
        """The vote with the log-probabilities of the chains, where they were asked for."""
        known = [mean_logprob(one.sample) for one in chains]
        if found.size != len(known) or all(one is None for one in known):
            return found
        return replace(found, logprobs=tuple(known))

    # --- what it rests on ---

    def used(self, chains: Sequence[Candidate]) -> list[Candidate]:
        """What models said of the winner's cluster, in the order of asking."""
        found = self.count(chains)
        if self.sorting is not None:
            return [one.candidate for one in self.sorting.on(found.winner) if one.candidate.prediction is not None]
        if self.rewards is not None:
            voters = [self.rewards.get(id(chains[index])) for index in found.voters]
            return [verdict for one in voters if one is not None for verdict in one.judged_by]
        return [self.pick[1]] if self.pick is not None and self.pick[0] is not None else []

    def rewards_of(self, chains: Sequence[Candidate]) -> list[float | None]:
        """What a verifier gave each chain; empty where none was asked."""
        if self.rewards is None:
            return []
        known = [self.rewards.get(id(chain)) for chain in chains]
        return [None if one is None else one.amount for one in known]

    # --- what is told ---

    def prediction(self, winner: Candidate, chains: Sequence[Candidate]) -> dspy.Prediction:
        """The winner's own prediction; where the vote made values of its own (a mean), with these in it."""
        own, names, made = winner.prediction, self.names(chains), self.count(chains).winner
        values = dict(made) if len(names) > 1 else {names[0]: made}
        if own is None or all(own.get(name, None) == one for name, one in values.items()):
            return own or dspy.Prediction()
        return dspy.Prediction(**{**dict(own.items()), **values})

    def told(self, chains: Candidates) -> Step:
        """The vote as a step, its chains in index order."""
        found, names = self.count(chains), self.names(chains)
        if not names or found.winner_index is None:
            children = [self._step(chain, "open", "") for chain in chains]
            return Step("vote", "no answer", label="vote of 0", state="dead end", children=children)
        states: dict[int, State] = {i: "kept" if i in found.voters else "open" for i in range(len(chains))}
        states[found.winner_index] = "chosen"
        children = [self._step(chain, states[i], _label(chain, names)) for i, chain in enumerate(chains)]
        weights = self.weights(chains)
        for child, weight in zip(children, weights or (), strict=False):
            child.score = weight
        self._tell_verdicts(chains, children)
        if self.pick is not None:
            children.append(step_of(self.pick[1], "kept", kind="check", label="the most consistent response"))
        said = self._said(found, weights is not None)
        return Step("vote", said, score=found.share, state="chosen", label="vote", children=children)

    def _step(self, chain: Candidate, state: State, label: str) -> Step:
        step, end = step_of(chain, state, label=label), self.finished.get(id(chain))
        if end is not None:
            step.children.append(step_of(end, "kept", kind="revision"))
            step.reason = step.reason or "cut off, then asked for its answer"
        reward = (self.rewards or {}).get(id(chain))
        if reward is not None:
            step.children += reward.told
            step.reason = step.reason or reward.reason
        return step

    def _tell_verdicts(self, chains: Sequence[Candidate], children: list[Step]) -> None:
        """A judge's verdicts under the earliest chain with the answer that was compared."""
        if self.sorting is None:
            return
        earliest: dict[Any, Step] = {}
        for answer, chain, step in zip(self.answers(chains), chains, children, strict=True):
            if chain.prediction is not None:
                earliest.setdefault(self.sorting.key(answer), step)
        for one in self.sorting.verdicts:
            said = f"{'the same as' if one.same else 'another than'} cluster {one.place + 1}"
            if one.key in earliest:
                earliest[one.key].children.append(step_of(one.candidate, "kept", kind="check", label=said))

    def _said(self, found: Vote, weighed: bool) -> str:
        if self.rule in QUANTITIES:
            return f"the {self.rule.replace('_', ' ')} of {found.votes} is {found.winner}"
        said = f"{len(found.voters)} of {found.votes} for {found.winner}"
        if isinstance(found, FieldsVote) and found.fields:
            shares = [f"{name} {len(one.voters)} of {one.votes}" for name, one in found.fields.items()]
            return f"{said}; by field: {', '.join(shares)}"
        return f"{said}, with {found.share:.0%} of the weight" if weighed else said

    def why(self) -> str:
        """What a reader should know of how it came about; empty where there is nothing."""
        if self.rule == "universal" and self.pick is not None and self.pick[0] is None:
            return "the model named no response, so the medoid of the largest cluster stands"
        if self.rule == "weighted" and self.rewards is None:
            return "not weighed: the verifier was not asked yet, so every chain counts the same"
        found = self._last[1] if self._last is not None else None
        return found.reason if isinstance(found, FieldsVote) else ""


def _checked(found: Any) -> Vote:
    if not isinstance(found, Vote):
        raise StrategyError(
            f"the vote function returned {type(found).__name__}",
            mend="return an rtk.answers.Vote, such as rtk.answers.vote(answers, …) gives",
        )
    return found


def _label(chain: Candidate, names: Sequence[str]) -> str:
    if chain.prediction is None:
        return ""
    if len(names) == 1:
        return str(chain.prediction.get(names[0], ""))
    return ", ".join(f"{name}: {chain.prediction.get(name, '')}" for name in names)
