"""Climbs of an effort ladder: that of one call, rung by rung, and that of all rungs at once, from which is learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import dspy

from rtk.answers import Vote, answer_fields, vote
from rtk.budget import Cost, Spent, current_budgets
from rtk.deliberation import Step
from rtk.statistics import proportion
from rtk.strategies.ballots import Ballot
from rtk.strategies.difficulty import Measure, measured, said_of
from rtk.strategies.flow import Candidate, Candidates, Flow, Outcome, ask
from rtk.strategies.prediction import evidence
from rtk.strategies.routes import Level, Route
from rtk.strategies.strategy import Strategy, step_of


@dataclass(frozen=True)
class Effort:
    """One rung of a ladder.

    Attributes:
        name: by which policies and routes know it.
        votes: chains in all, where it is a vote; None where it is a program.
        program: the program, where it is one.
    """

    name: str
    votes: int | None = None
    program: dspy.Module | None = None

    @property
    def kind(self) -> str:
        """`"votes"`, or the class of its program."""
        return "votes" if self.program is None else type(self.program).__name__


@dataclass(frozen=True, repr=False)
class Rung(Level):
    """What one rung of an effort ladder came to: a `Level`, with what was decided on it.

    `confidence` is the leader's share of the votes so far, or the program's own; `accepted` is whether its answer is
    the one that is given.

    Attributes:
        value: of the measure of difficulty; None where nothing is known.
        bin: of difficulty, from 0, the hardest, on; None where no policy was asked.
        then: the rung that came next; None where it ended there.
        came: the candidates that it brought: new chains, or the program's answer.
        vote: the vote so far, or the program's own.
    """

    value: float | None = None
    bin: int | None = None
    then: str | None = None
    came: tuple[Candidate, ...] = field(default=(), compare=False)
    vote: Vote | None = field(default=None, compare=False)

    @property
    def outcome(self) -> str:
        """What became of it, in two words at most."""
        if self.accepted:
            return "accepted"
        if self.cut is not None:
            return "cut short"
        return "went on" if self.answered else "no answer"


@dataclass(eq=False)
class Climb:
    """The climb of one call, as far as it came.

    Attributes:
        ballot: how votes are counted.
        measure: of difficulty.
        nothing: no answer, in the fields of the chains.
        chains: drawn so far.
        rungs: that were reached.
        programs: the answers of those of them that are programs.
    """

    ballot: Ballot
    measure: str | Measure
    nothing: dspy.Prediction
    chains: Candidates = field(default_factory=Candidates)
    rungs: list[Rung] = field(default_factory=list)
    programs: list[Candidate] = field(default_factory=list)

    @property
    def votes(self) -> Candidates:
        """The chains that count: at temperature 0 all samples are the same one, which counts once."""
        return self.chains.distinct()

    @property
    def alike(self) -> bool:
        """Whether further chains would be the one that is there."""
        return len(self.votes) < len(self.chains)

    @property
    def found(self) -> Vote:
        """The vote so far."""
        return self.ballot.count(self.votes)

    # --- rungs ---

    def voted(self, effort: Effort, came: Sequence[Candidate], spent: Spent, seconds: float, cut: str | None) -> Rung:
        """A rung of votes was climbed."""
        found = self.found
        return self._noted(
            effort, answer=found.winner, confidence=found.share if found.votes else None,
            value=measured(self.measure, found), fields=self._fields(self._winner), came=came, vote=found,
            spent=spent, seconds=seconds, cut=cut,
        )  # fmt: skip

    def ran(self, effort: Effort, got: Candidates, spent: Spent, cut: str | None) -> Rung:
        """A rung that is a program was climbed."""
        one = got[0]
        self.programs.append(one)
        own = evidence(one.prediction, "vote") if one.prediction is not None else None
        sure = said_of(one.prediction) if one.prediction is not None else None
        return self._noted(
            effort, answer=self._answer(one), confidence=sure, value=self._value(one, own, sure),
            fields=self._fields(one), came=(one,), vote=own, spent=spent, seconds=got.seconds, cut=cut,
        )  # fmt: skip

    def _noted(self, effort: Effort, **told: Any) -> Rung:
        made = Rung(effort.name, effort.kind, **{**told, "came": tuple(told["came"])})
        self.rungs.append(made)
        return made

    def decided(self, then: str | None, reason: str, number: int | None = None) -> None:
        """What was decided on the last rung."""
        last = self.rungs[-1]
        self.rungs[-1] = Rung(**{**vars(last), "then": then, "reason": reason, "bin": number})

    def _value(self, one: Candidate, own: Vote | None, sure: float | None) -> float | None:
        """A program's difficulty: of its own vote, else how sure it says it is, else how many of the probe agree."""
        if one.prediction is None:
            return None
        if own is not None:
            return measured(self.measure, own)
        return self.support(one) if sure is None else sure

    def support(self, one: Candidate) -> float:
        """The share of the probe's votes that are for a program's answer."""
        probed = self.rungs[0].came
        names = self.ballot.names([one])
        said = [one.answer(names[0] if names else ""), *self.ballot.answers(probed)]
        own = next((each for each in vote(said, comparer=self.ballot.comparer).clusters if 0 in each.members), None)
        return (len(own.members) - 1) / len(probed) if own is not None else 0.0

    def _answer(self, one: Candidate) -> Any:
        if one.prediction is None:
            return None
        found = list(one.prediction.keys())
        names = [self.ballot.output] if self.ballot.output in found else answer_fields(found)[-1:]
        return one.prediction.get(names[0], None) if names else None

    def _fields(self, one: Candidate | None) -> dict[str, Any]:
        return {} if one is None or one.prediction is None else dict(one.prediction.items())

    @property
    def _winner(self) -> Candidate | None:
        index = self.found.winner_index
        return None if index is None or not self.ballot.names(self.votes) else self.votes[index]

    # --- what it comes to ---

    @property
    def given(self) -> Rung | None:
        """The rung whose answer is given: the last with one. One that a budget cut short gives way to one that it did
        not, unless it is a vote, of which every part is one."""
        answered = [one for one in self.rungs if one.answer is not None]
        whole = [one for one in answered if one.cut is None or one.kind == "votes"]
        return next(reversed(whole or answered), None)

    def outcome(self) -> Outcome:
        """The answer, and how it came about."""
        given = self.given
        rungs = [Rung(**{**vars(one), "accepted": one is given}) for one in self.rungs]
        program = given.came[0] if given is not None and given.kind != "votes" else None
        chosen = program or self._winner
        root, about = self._told(rungs, program), {"route": Route(rungs)}
        if given is None or chosen is None or chosen.prediction is None:
            return Outcome(self.nothing, deliberation=root, attempts=self.chains, about=about)
        prediction = chosen.prediction if program is not None else self.ballot.prediction(chosen, self.votes)
        others = [one.prediction for one in (*self.programs, *self.chains) if one is not chosen]
        found = self.found
        own = evidence(chosen.prediction, "confidence") if program is not None else None
        return Outcome(
            prediction,
            used=[chosen],
            completions=[prediction, *(one for one in others if one is not None)],
            deliberation=root,
            confidence=own if program is not None else proportion(len(found.voters), found.votes),
            vote=given.vote or found,
            attempts=() if program is not None else self.chains,
            about=about,
        )

    def _told(self, rungs: Sequence[Rung], program: Candidate | None) -> Step:
        """The route as steps: under each rung what it brought, so that each chain is told once."""
        chains = self.ballot.told(self.votes).children
        by = {id(one): step for one, step in zip(self.votes, chains, strict=True)}
        root = Step("route", label="adaptive effort", state="chosen")
        for rung in rungs:
            state = "chosen" if rung.accepted else ("kept" if rung.answered else "dead end")
            label = f"{rung.name} votes" if rung.kind == "votes" else rung.name
            step = Step("vote" if rung.kind == "votes" else "route", state=state, score=rung.value, label=label)
            step.text, step.reason = _said(rung), rung.reason
            if rung.kind == "votes":
                step.children = [by[id(one)] for one in rung.came if id(one) in by]
            else:
                step.children = [step_of(one, "chosen" if one is program else "open") for one in rung.came]
            root.children.append(step)
        if program is not None:
            for step in chains:
                step.state = "kept" if step.state == "chosen" else step.state
        ended = next((one for one in rungs if one.accepted), None)
        root.text = "no answer" if ended is None else f"answered by {ended.name}"
        root.state = "dead end" if ended is None else "chosen"
        return root


def _said(rung: Rung) -> str:
    if rung.answer is None:
        return "no answer"
    if rung.kind != "votes" or rung.vote is None:
        return str(rung.answer)
    return f"{len(rung.vote.voters)} of {rung.vote.votes} for {rung.answer}"


# --- all rungs at once ---


class Climber(Strategy):
    """Asks every rung of a program's ladder side by side, in the stream of a plain call; its answer is the route.

    So a ladder takes one round, and where a budget ends, as many questions as can be are whole. Each rung's `costs` are
    those of the samples that no rung before it had.

    Args:
        program: an `rtk.AdaptiveEffort`; the same modules are asked.
    """

    def __init__(self, program: Any) -> None:
        super().__init__()
        self.program = program

    def flow(self, **inputs: Any) -> Flow:
        """One list of asks. Nothing is answered where no sample came at all, so that it is an error."""
        efforts = self.program.efforts
        sizes = [one.votes for one in efforts if one.votes is not None]
        programs = [one for one in efforts if one.program is not None]
        chains, *answers = yield [
            self.program.asked(inputs, sizes[-1]), *(ask(one.program, inputs) for one in programs)
        ]  # fmt: skip
        if any(one.cut is not None for one in (chains, *answers)):
            return _nothing()
        costs = {str(address): cost for address, cost in current_budgets()[-1].charged.items()}
        climb, made = self.program.climb(), list[Rung]()
        for effort, had in zip(efforts, [0, *sizes], strict=False):
            if effort.votes is None:
                break
            came = chains[had : effort.votes]
            climb.chains.extend(came)
            made.append(climb.voted(effort, came, Spent(), Candidates(came).seconds, None))
        made += [climb.ran(one, got, Spent(), None) for one, got in zip(programs, answers, strict=True)]
        return _climbed(climb, made, costs)


def _climbed(climb: Climb, made: list[Rung], costs: dict[str, Cost]) -> Outcome:
    """The route, with what each rung costs."""
    route = tuple(Rung(**{**vars(one), "costs": _taken(one, costs)}) for one in made)
    came = [one for rung in route for one in rung.came]
    lost = all(one.abstention is not None and one.abstention.kind == "failed" for one in came)
    return _nothing() if lost else _nothing(climbed=True, route=route)


def _taken(rung: Rung, costs: dict[str, Cost]) -> dict[str, Cost]:
    """What a rung's samples cost, taken from what is left."""
    addresses = [address for one in rung.came for address in sorted(one.addresses)]
    return {address: costs.pop(address) for address in addresses if address in costs}


def _nothing(climbed: bool | None = None, route: tuple[Rung, ...] = ()) -> Outcome:
    return Outcome(dspy.Prediction(climbed=climbed), deliberation=Step("route", "climbed"), about={"route": route})
