"""Adaptive effort: a cheap probe says how hard a question is, and effort goes where it pays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import dspy

from rtk._progress import Progress
from rtk.answers import Vote, equal, stopping, vote
from rtk.budget import Budget, current_budgets
from rtk.errors import StrategyError
from rtk.events import VoteMoved, tell, watchers
from rtk.strategies.ballots import Ballot
from rtk.strategies.calibrated import Calibrated
from rtk.strategies.difficulty import LOGPROBS, MEASURES, name_of
from rtk.strategies.effort_calibrating import Fit, fitted
from rtk.strategies.effort_climbing import Climb, Climber, Effort
from rtk.strategies.effort_policy import EffortPolicy, plain
from rtk.strategies.flow import AskFor, Candidates, Flow, Heard, ask
from rtk.strategies.questions import chain_of
from rtk.strategies.routes import less
from rtk.strategies.sampling import predictor_of
from rtk.strategies.self_consistency import SelfConsistency
from rtk.strategies.settings import Setting, check_share, check_temperature, check_whole
from rtk.strategies.strategy import Strategy, no_answer, submodule
from rtk.strategies.trials import Metric, atried, check_metric, examples_of, metric_of, tried

SETTLED = "beta"  # the stopping rule that decides where nothing was learned


class _Policy(Setting):
    """A policy, as plain data that can be saved."""

    def __set__(self, program: Any, value: Any) -> None:
        super().__set__(program, plain(value))


class AdaptiveEffort(Strategy):
    """Probe a question with a few samples, and go on to more effort only where that pays.

    A ladder of efforts, the probe being the first rung: first whole numbers, which are votes of so many chains and
    nest, so that rung 16 draws 12 chains after rung 4, those of `SelfConsistency(16)`; then programs, such as a tree of
    thoughts or a vote of a larger model. After each rung it is decided whether to stop or to which later rung to go,
    perhaps past some. The answer is that of the last rung that has one.

    Untaught, it stops after the rung at which the vote is settled as Adaptive-Consistency has it (arXiv:2305.11860:
    the leader is the more frequent of the first two answers with probability 0.95); programs are asked only where the
    votes are all there and not settled, and it stops at the first whose answer is the one that the votes lead to, or
    whose own vote is settled.

    `calibrate` learns from questions with known answers what to do instead: after each rung, by how sure the vote is,
    whether to stop or where to go, so that full effort's accuracy is nearly kept at the least cost (compute-optimal
    scaling by difficulty; Snell et al., 2024, arXiv:2408.03314). Easy questions stop early, and so do hopeless ones,
    on which more samples do not help. What it learned is the setting `policy`; `plan` says it in words.

    `pred.route` has of every rung its answer, how sure it was, what was decided and why, and what it cost;
    `pred.confidence` is the share of the last vote, or what the program says; `pred.vote` the last vote.

    Args:
        signature: a DSPy signature, its text, or any `dspy.Module`: the chains of the votes.
        probe: chains of the first rung.
        ladder: further rungs, ascending: whole numbers of chains, then programs. A mapping stands for a vote with such
            settings (`{"samples": 16, "vote": "confidence"}`) over the same chains. Numbers that the probe covers add
            nothing.
        measure: how sure a vote is, always the higher the surer:
            `"lead"`: the probability that the leader is the more frequent of the first two answers, given the votes;
            `"agreement"`: the leader's share; `"margin"`: that less the second's; `"entropy"`: 1 less the entropy of
            the answers as a share of the most it could be; abstentions agree with nobody in these three;
            `"confidence"`: the geometric mean of the token probabilities of the leader's voters (asks for
            log-probabilities, so these are other requests); or a function of the `rtk.answers.Vote` so far.
            A program with a vote is measured by that, another by its own confidence, else by how much of the probe
            agrees with it.
        within: accuracy that calibrating may give up against full effort, in [0, 1); 0.01 is a point.
        policy: what to do after each rung, as `calibrate` learns it or by hand; see `rtk.strategies.EffortPolicy`.
        comparer: which answers are the same; see `rtk.answers.equal`.
        field: the output to vote on; by default the last one that is not reasoning.
        temperature: of the chains; the model's own by default.

    Raises:
        StrategyError: for a setting that cannot be.
    """

    probe = Setting(4)
    ladder: Any = Setting([8, 16, 32])
    measure: Any = Setting("lead")
    within = Setting(0.01)
    policy: Any = _Policy()
    comparer = Setting("auto")
    field = Setting()
    temperature = Setting()

    def __init__(
        self,
        signature: Any,
        probe: int = 4,
        ladder: Iterable[int | Mapping[str, Any] | dspy.Module] = (8, 16, 32),
        *,
        measure: str | Callable[[Vote], float] = "lead",
        within: float = 0.01,
        policy: Any = None,
        comparer: Any = "auto",
        field: str | None = None,
        temperature: float | None = None,
    ) -> None:
        super().__init__()
        self.chain: Any = submodule(chain_of(signature))
        rungs = _rungs(ladder)
        self.probe, self.measure, self.within = probe, measure, within
        self.ladder = [one for one in rungs if isinstance(one, int)]
        self.comparer, self.field, self.temperature = comparer, field, temperature
        self.programs: list[Any] = [self._program(one) for one in rungs if not isinstance(one, int)]
        self.policy = policy
        self.check_settings()

    def _program(self, given: Any) -> dspy.Module:
        """A rung that is no number."""
        if isinstance(given, dspy.Module):
            return submodule(given)
        try:
            shared = {"comparer": self.comparer, "field": self.field, "temperature": self.temperature}
            return SelfConsistency(self.chain, **{**shared, **given})
        except TypeError as error:
            raise StrategyError(
                f"ladder=: {given!r:.60} is no vote ({error})", mend="settings of rtk.SelfConsistency, by name"
            ) from error

    def check_settings(self) -> None:
        """Refuse settings that cannot be, or that do not go together."""
        check_whole("probe", self.probe)
        numbers = [*self.ladder] if isinstance(self.ladder, (list, tuple)) else [self.ladder]
        for number in numbers:
            check_whole("ladder", number)
        if sorted(set(numbers)) != numbers:
            raise StrategyError(f"ladder={numbers!r} does not ascend", mend="such as ladder=(8, 16, 32)")
        if not callable(self.measure) and self.measure not in MEASURES:
            raise StrategyError(
                f"measure={self.measure!r} is no measure", mend=f"one of {', '.join(MEASURES)}, or a function of a vote"
            )
        check_share("within", self.within)
        check_temperature(self.temperature, self.chain)
        if self.measure == LOGPROBS and predictor_of(self.chain) is None:
            raise StrategyError(
                f'measure="{LOGPROBS}" is of a predictor\'s chains, not the runs of a module', mend="another measure="
            )
        if not callable(self.comparer):
            equal("", "", self.comparer)  # which refuses what cannot be
        if self.policy is not None:
            EffortPolicy.of(self.policy, self.rungs, name_of(self.measure))

    def asks_once(self) -> bool:
        """Whether all that is asked is known before anything comes."""
        return len(self.efforts) == 1

    # --- the ladder ---

    @property
    def rungs(self) -> tuple[str, ...]:
        """The rungs of the ladder by name, as policies and routes call them, the probe first."""
        return tuple(one.name for one in self.efforts)

    @property
    def plan(self) -> EffortPolicy | None:
        """What is done after each rung, in words when printed; None where nothing was learned or set."""
        return None if self.policy is None else EffortPolicy.of(self.policy, self.rungs, name_of(self.measure))

    @property
    def efforts(self) -> list[Effort]:
        """The ladder."""
        numbers = [self.probe, *(number for number in self.ladder if number > self.probe)]
        found = [Effort(str(number), number) for number in numbers]
        kinds = [type(program).__name__ for program in self.programs]
        for place, (kind, program) in enumerate(zip(kinds, self.programs, strict=True)):
            number = kinds[: place + 1].count(kind)
            found.append(Effort(kind if kinds.count(kind) == 1 else f"{kind} {number}", program=program))
        return found

    def _ballot(self) -> Ballot:
        return Ballot("majority", self.field, self.comparer)

    # --- the climb ---

    def climb(self) -> Climb:
        """A climb that is still to come."""
        return Climb(self._ballot(), self.measure, no_answer(self.chain))

    def asked(self, inputs: Mapping[str, Any], size: int, had: int = 0, heard: Heard | None = None) -> AskFor:
        """Chains beyond those that are there."""
        config: dict[str, Any] = {} if self.temperature is None else {"temperature": self.temperature}
        config |= {"logprobs": True} if self.measure == LOGPROBS else {}
        first = 0 if predictor_of(self.chain) is not None else had
        return ask(self.chain, inputs, samples=size - had, rollout=first, config=config, heard=heard)

    def flow(self, **inputs: Any) -> Flow:
        """Rung by rung, as far as it pays."""
        efforts, plan, climb = self.efforts, self.plan, self.climb()
        here: int | None = 0
        while here is not None:
            if climb.rungs:
                yield climb.outcome  # the best so far
            effort = efforts[here]
            climbed = self._vote(climb, effort, inputs) if effort.program is None else _run(climb, effort, inputs)
            if not (yield from climbed):
                break
            here = self._decide(climb, efforts, here, plan)
        return climb.outcome()

    def _vote(self, climb: Climb, effort: Effort, inputs: dict[str, Any]) -> Flow:
        """Draw the chains that a rung of votes has beyond those that are there; whether a budget let all come."""
        chains, before = climb.chains, current_budgets()[-1].spent
        size, had, most = effort.votes or 0, len(chains), max([self.probe, *self.ladder])
        came: Candidates = yield self.asked(inputs, size, had, _heard(climb, most) if watchers() else None)
        chains.go_on(came)
        climb.voted(effort, chains[had:], less(current_budgets()[-1].spent, before), came.seconds, chains.stopped)
        return _whole(climb)

    def _decide(self, climb: Climb, efforts: Sequence[Effort], here: int, plan: EffortPolicy | None) -> int | None:
        """The rung to go to; None to stop. Told on the climb."""
        last, left = climb.rungs[-1], range(here + 1, len(efforts))
        able = [place for place in left if not (efforts[place].votes and climb.alike)]
        if not able:
            climb.decided(None, _ended(climb, bool(left)))
            return None
        if plan is None:
            number, (wanted, why) = None, _untaught(climb, efforts, here, able[0])
        else:
            found = plan.decide(last.name, last.value)
            number, wanted = found.bin, None if found.then is None else plan.rungs.index(found.then)
            why = _bin(plan, last.value, len(plan.after.get(last.name, ())) > 1)
        to = None if wanted is None else next((place for place in able if place >= wanted), None)
        if wanted is not None and to != wanted:
            why += f"; {_alike(climb)}"
        climb.decided(None if to is None else efforts[to].name, why, number)
        return to

    # --- calibrating ---

    def calibrate(
        self,
        questions: Any,
        *,
        metric: Metric | None = None,
        within: float | None = None,
        cost: str = "samples",
        budget: Budget | None = None,
        folds: int = 5,
        seed: int = 0,
        progress: Progress = "auto",
    ) -> Calibrated:
        """Learn from questions with known answers what to do after each rung, and do so from now on.

        Every rung is climbed once on each question; the samples are those of later calls, and are drawn once. Votes are
        also counted in other orders of the chains, which asks for nothing. What is learned is the cheapest policy
        within so much of full effort (its loss put half a standard error higher than it was, as it is one of many): of
        thresholds for settled and for hopeless votes, and of what backward induction finds for each rung. Accuracy and
        cost of the report are those on questions that it was not learned from; as they also decide whether it is kept,
        they flatter what is kept a little (on made-up populations by 0.6 points at 60 questions, 1.5 at 20). Where the
        measure does not tell right answers from wrong ones beyond chance, or what was learned is no cheaper than fixed
        effort of the same accuracy, the policy is fixed effort: the cheapest rung within so much of full effort, for
        every question; `why` says so.

        Args:
            questions: a task, whose dev questions are meant, or `dspy.Example`s; at least 10, better 50 and more.
            metric: `(example, prediction) -> score` in [0, 1]; by default the task's, else equality of the answer.
            within: accuracy that may be given up against full effort; the setting by default.
            cost: what is saved: `"samples"`, `"tokens"` (read and written), `"dollars"` or `"seconds"` (of the samples
                when drawn, those of one rung side by side).
            budget: over all questions; where it ends, it is learned from those that are whole.
            folds: parts that the questions are dealt into, each learned about from the others.
            seed: of the folds and the orders; the same questions and seed teach the same.
            progress: a bar, by default; None for none, or a function that is called after each question.

        Returns:
            what was learned, and how that did on questions kept aside.

        Raises:
            StrategyError: for too few questions, and arguments that cannot be, a metric that fails on no answer among
                them; the program is then as it was, as it is where the run is interrupted.
            TaskError: for a metric that gives no score.
        """
        fit = self._fit(questions, metric, within, cost, folds, seed)
        return self._taught(fit, tried(Climber(self), fit.examples, budget=budget, progress=progress))

    async def acalibrate(
        self,
        questions: Any,
        *,
        metric: Metric | None = None,
        within: float | None = None,
        cost: str = "samples",
        budget: Budget | None = None,
        folds: int = 5,
        seed: int = 0,
        progress: Progress = "auto",
    ) -> Calibrated:
        """As `calibrate`, on the running event loop."""
        fit = self._fit(questions, metric, within, cost, folds, seed)
        return self._taught(fit, await atried(Climber(self), fit.examples, budget=budget, progress=progress))

    def _fit(
        self, questions: Any, metric: Metric | None, within: float | None, cost: str, folds: int, seed: int
    ) -> Fit:
        near: Any = self.within if within is None else within
        check_share("within", near)
        check_whole("folds", folds, 2)
        check_whole("seed", seed, 0)
        efforts = self.efforts
        if len(efforts) < 2:
            raise StrategyError("calibrate: the ladder has one rung", mend="such as ladder=(8, 16, 32)")
        examples, wanted, nothing = examples_of(questions), metric_of(questions, metric), no_answer(self.chain)
        check_metric(wanted, examples[0], nothing)
        return Fit(examples, wanted, efforts, self.measure, nothing, near, cost, folds, seed)

    def _taught(self, fit: Fit, trials: Any) -> Calibrated:
        found, policy = fitted(fit, trials, self._ballot())
        self.policy = policy
        return found


# --- the climb ---


def _run(climb: Climb, effort: Effort, inputs: dict[str, Any]) -> Flow:
    """Run a program of the ladder; whether a budget let it come to its end."""
    before = current_budgets()[-1].spent
    program: Any = effort.program
    got: Candidates = yield ask(program, inputs)
    climb.ran(effort, got, less(current_budgets()[-1].spent, before), got.stopped)
    return _whole(climb)


def _whole(climb: Climb) -> bool:
    """Whether the last rung is whole; where it is not, that is why it is the last."""
    cut = climb.rungs[-1].cut
    if cut is not None:
        climb.decided(None, f"the budget of {cut} ended there")
    return cut is None


def _untaught(climb: Climb, efforts: Sequence[Effort], here: int, further: int) -> tuple[int | None, str]:
    """Where to go, and why, where nothing was learned."""
    last = climb.rungs[-1]
    if efforts[here].program is None:
        found, most = climb.found, max(one.votes or 0 for one in efforts)
        left = max(1, most - found.size)
        settled = stopping(SETTLED)(found, left) == 0
        return (None, "the vote is settled") if settled else (further, "the vote is not settled")
    if last.vote is not None and stopping(SETTLED)(last.vote, 1) == 0:
        return None, "its own vote is settled"
    if last.answer is None:
        return further, "it has no answer"
    agrees = vote([last.answer, climb.found.winner], comparer=climb.ballot.comparer)
    if agrees.votes == 2 and len(agrees.clusters) == 1:
        return None, "its answer is the one that the votes lead to"
    return further, "its answer is not the one that the votes lead to"


def _ended(climb: Climb, more: bool) -> str:
    return _alike(climb) if more else "all effort"


def _alike(climb: Climb) -> str:
    return f"at temperature 0 samples are the same one, which counts once: {len(climb.votes)} counted"


def _bin(plan: EffortPolicy, value: float | None, several: bool) -> str:
    if not several:
        return "as for every question"
    return f"{plan.measure} {'unknown' if value is None else f'{value:.2f}'}"


def _heard(climb: Climb, most: int) -> Callable[[Candidates], None]:
    """Tells those who watch of the leader among the chains so far; it decides nothing."""
    before, ballot = list(climb.chains), Ballot("majority", climb.ballot.output, climb.ballot.comparer)

    def heard(came: Candidates) -> None:
        found = ballot.count([*before, *came])
        tell(VoteMoved, answer=found.winner, share=found.share, votes=found.votes, size=found.size, of=most)

    return heard


# --- settings ---


def _rungs(ladder: Any) -> list[Any]:
    """The rungs that were given: whole numbers, then programs and settings of votes."""
    given = [*ladder] if isinstance(ladder, Iterable) and not isinstance(ladder, (str, Mapping)) else [ladder]
    kinds = [isinstance(one, (dspy.Module, Mapping)) for one in given]
    for one, program in zip(given, kinds, strict=True):
        if not program:
            check_whole("ladder", one)
    if kinds != sorted(kinds):
        raise StrategyError("ladder= has a number behind a program", mend="numbers of chains first, then programs")
    return given
