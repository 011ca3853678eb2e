"""Best of N: several attempts, and the one that a verifier scores highest (Cobbe et al., 2021, arXiv:2110.14168)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import dspy

from rtk.answers import Check, read_number
from rtk.deliberation import Step
from rtk.errors import RTKError, StrategyError
from rtk.strategies.flow import Candidate, Candidates, Flow, Outcome, ask
from rtk.strategies.sampling import predictor_of
from rtk.strategies.settings import Setting, check_whole
from rtk.strategies.strategy import Strategy, no_answer, step_of, submodule

Reward = Callable[[Mapping[str, Any], Any], "float | Check | None"]
"""From a call's inputs and one prediction, a score: the higher the better. The gold answer is no input of a program, so
a verifier cannot see it."""


@dataclass
class _Attempt:
    candidate: Candidate
    reward: float | None = None
    reason: str = ""
    failed: bool = False
    told: list[Step] = field(default_factory=list)
    judged_by: list[Candidate] = field(default_factory=list)


class BestOfN(Strategy):
    """Run a program N times and return the prediction with the highest reward.

    As `dspy.BestOfN`, and unlike it: the attempts run side by side; they share their samples with any program that asks
    the same, in this run and the next; every attempt and its reward are kept, on `pred.completions` (the best first)
    and `pred.deliberation`; a reward may be a judge's, a module that sees the inputs and the attempt's outputs, whose
    own samples are stored, budgeted and told like any; and nothing of the module or its LM is changed. The attempts
    are drawn at the LM's own temperature.

    With `threshold=` the first attempt, in order, that reaches it is the answer, whichever came first, and no further
    wave is asked for. Of equal rewards the earliest attempt wins. An attempt without an answer has no reward.

    Args:
        module: a DSPy signature, its text, or any `dspy.Module`.
        N: attempts; the most of them, with `threshold=`.
        reward_fn: `(inputs, prediction) -> float`, or an `rtk.answers.Check` such as `task.check` gives (its score, or
            1 and 0), None where there is nothing to say; or a `dspy.Module`, a judge: it is asked with those of the
            inputs and outputs that it has fields for, and its last output is the reward (a number, or true and false).
        threshold: a reward that is good enough; None for all N.
        fail_count: rewards that may fail before that is raised; by default all but one.
        wave: attempts that go out together where there is a threshold; 1 by default, which pays for none beyond it.

    Raises:
        StrategyError: for a setting that cannot be; when called, for a reward that is no number.
    """

    N = Setting(4)
    threshold = Setting()
    fail_count = Setting()
    wave = Setting()

    def __init__(
        self,
        module: Any,
        N: int = 4,
        reward_fn: Reward | dspy.Module | None = None,
        threshold: float | None = None,
        fail_count: int | None = None,
        *,
        wave: int | None = None,
    ) -> None:
        super().__init__()
        check_whole("N", N)
        check_whole("wave", 1 if wave is None else wave)
        check_whole("fail_count", 0 if fail_count is None else fail_count, 0)
        if not callable(reward_fn):
            raise StrategyError(f"reward_fn={reward_fn!r}", mend="a function (inputs, prediction) -> float, or a judge")
        if threshold is not None and (isinstance(threshold, bool) or not isinstance(threshold, (int, float))):
            raise StrategyError(f"threshold={threshold!r}", mend="a number, or None for all attempts")
        self.N, self.threshold, self.fail_count, self.wave = N, threshold, fail_count, wave
        self.module = submodule(module) if isinstance(module, dspy.Module) else dspy.ChainOfThought(module)
        self.judge: Any = submodule(reward_fn) if isinstance(reward_fn, dspy.Module) else None
        self.reward_fn: Any = lambda *seen: reward_fn(*seen)  # copies of the program call the same one, uncopied

    def asks_once(self) -> bool:
        """Whether all that is asked is known before anything comes."""
        return self.threshold is None and self.judge is None

    def flow(self, **inputs: Any) -> Flow:
        """Waves of attempts, each with its rewards, until one is good enough."""
        flat, tried, attempts = predictor_of(self.module) is not None, Candidates(), list[_Attempt]()
        while len(tried) < self.N:
            size = self.N if self.threshold is None else min(self.N - len(tried), self.wave or 1)
            if attempts:
                yield self._best_of(attempts)
            tried.go_on((yield ask(self.module, inputs, samples=size, rollout=0 if flat else len(tried))))
            new = [_Attempt(candidate) for candidate in list(tried.distinct())[len(attempts) :]]
            attempts += new
            if self.judge is not None:
                yield self._best_of(attempts)  # should a budget end there
            judged = yield from self._rewarded(inputs, new)
            self._count_failures(attempts)
            again = len(attempts) < len(tried)  # at temperature 0 an attempt is the one before, which counts once
            if not judged or tried.cut is not None or again or any(self._reaches(one) for one in new):
                break
        return self._best_of(attempts)

    def _rewarded(self, inputs: dict[str, Any], attempts: list[_Attempt]) -> Flow:
        """Give the attempts their rewards; whether all of them could be judged."""
        alive = [one for one in attempts if one.candidate.prediction is not None]
        if self.judge is None:
            for one in alive:
                self._reward(one, inputs)
            return True
        seen = [{**inputs, **dict((one.candidate.prediction or {}).items())} for one in alive]
        asked = yield [ask(self.judge, _given(self.judge, each)) for each in seen]
        for one, verdicts in zip(alive, asked, strict=True):
            self._judged(one, verdicts)
        return all(verdicts.cut is None for verdicts in asked)

    def _reward(self, attempt: _Attempt, inputs: dict[str, Any]) -> None:
        try:
            attempt.reward, attempt.reason = _amount(self.reward_fn(inputs, attempt.candidate.prediction))
        except RTKError:
            raise
        except Exception as error:  # noqa: BLE001 - a user's function; raised where too many fail
            attempt.failed, attempt.reason = True, f"its reward failed: {type(error).__name__}: {error}"[:160]

    def _judged(self, attempt: _Attempt, verdicts: Candidates) -> None:
        for verdict in verdicts:
            attempt.told.append(step_of(verdict, "kept", kind="check"))
            if verdict.prediction is None:
                attempt.reason = "the judge gave no answer"
                continue
            attempt.judged_by.append(verdict)
            try:
                attempt.reward, attempt.reason = _amount(list(verdict.prediction.values())[-1])
            except StrategyError as error:  # a judge is a model: it may say anything
                attempt.reason = str(error)

    def _count_failures(self, attempts: list[_Attempt]) -> None:
        failed = [one for one in attempts if one.failed]
        if len(failed) > (self.N - 1 if self.fail_count is None else self.fail_count):
            raise StrategyError(
                f"{len(failed)} of {len(attempts)} attempts have no reward; of the last, {failed[-1].reason}",
                mend="reward_fn takes (inputs, prediction), whatever the prediction, and returns a number",
            )

    def _reaches(self, attempt: _Attempt) -> bool:
        return self.threshold is not None and attempt.reward is not None and attempt.reward >= self.threshold

    def _best_of(self, attempts: list[_Attempt]) -> Outcome:
        """The best attempt; the first that is good enough, where one is, and then nothing behind it counts."""
        end = next((number for number, one in enumerate(attempts, 1) if self._reaches(one)), len(attempts))
        counted = attempts[:end]
        answers = [one for one in counted if one.candidate.prediction is not None]
        root = Step("vote", "no answer", label=f"best of {len(counted)}", state="dead end")
        best = max(answers, key=lambda one: -math.inf if one.reward is None else one.reward, default=None)
        root.children = [_told(one, one is best) for one in counted]
        unused = [one.candidate for one in attempts[end:]]
        if best is None or best.candidate.prediction is None:
            return Outcome(self._nothing(), deliberation=root, unused=unused)
        root.state, root.score = "chosen", best.reward
        root.text = f"attempt {attempts.index(best) + 1} of {len(counted)}"
        others = [one.candidate.prediction for one in answers if one is not best]
        return Outcome(
            best.candidate.prediction,
            used=[best.candidate, *best.judged_by],
            completions=[one for one in (best.candidate.prediction, *others) if one is not None],
            deliberation=root,
            unused=unused,
        )

    def _nothing(self) -> dspy.Prediction:
        """No answer, in the fields of the module."""
        return no_answer(self.module)


def _given(judge: dspy.Module, seen: dict[str, Any]) -> dict[str, Any]:
    """What a judge has fields for; all of it where that is not known."""
    predictor = predictor_of(judge)
    signature: Any = predictor.signature if predictor is not None else None
    return seen if signature is None else {name: seen[name] for name in signature.input_fields if name in seen}


def _amount(said: Any) -> tuple[float | None, str]:
    """A reward as a number, and why it is that."""
    if isinstance(said, Check):
        return (float(said.ok) if said.score is None and said.ok is not None else said.score), said.reason
    if said is None or isinstance(said, bool):
        return (None if said is None else float(said)), ""
    number = read_number(said)
    if number is None:
        raise StrategyError(f"a reward of {said!r:.60} is no number", mend="return a finite number, a Check or None")
    return float(number), ""


def _told(attempt: _Attempt, best: bool) -> Step:
    step = step_of(attempt.candidate, "chosen" if best else "open")
    step.score, step.children = attempt.reward, [*step.children, *attempt.told]
    step.reason = step.reason or attempt.reason
    return step
