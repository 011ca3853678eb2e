"""Best of N: several attempts, and the one that a verifier scores highest (Cobbe et al., 2021, arXiv:2110.14168)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import dspy

from rtk.answers import Check
from rtk.deliberation import Step
from rtk.errors import StrategyError
from rtk.events import CandidateScored, tell
from rtk.strategies.certainty import told_logprob
from rtk.strategies.flow import Candidate, Candidates, Flow, Outcome, ask
from rtk.strategies.inputs import Inputs, refuse_metric
from rtk.strategies.questions import chain_of
from rtk.strategies.rewards import TAKES, Rewarded, rewarded, uncopied
from rtk.strategies.sampling import predictor_of
from rtk.strategies.settings import Setting, check_whole
from rtk.strategies.strategy import Strategy, no_answer, step_of, submodule

Reward = Callable[[Inputs, Any], "float | Check | None"]
"""From a call's inputs and one prediction, a score: the higher the better. `Inputs` holds what is an input of the
program and nothing else, so a verifier cannot see the gold answer, whatever the call was given."""


class BestOfN(Strategy):
    """Run a program N times and return the prediction with the highest reward.

    As `dspy.BestOfN`, and unlike it: the attempts run side by side; they share their samples with any program that asks
    the same, in this run and the next; every attempt and its reward are kept, on `pred.completions` (the best first)
    and `pred.deliberation`; a reward may be a judge's, a module or a reward model on a server, whose own samples are
    stored, budgeted and told like any; and nothing of the module or its LM is changed. The attempts are drawn at the
    LM's own temperature.

    A verifier, whatever it is, is shown the program's inputs (`rtk.Inputs`) and what an attempt came to. Other fields
    of a call, such as the gold answer in `program(**example)`, are withheld from it.

    With `threshold=` the first attempt, in order, that reaches it is the answer, whichever came first, and no further
    wave is asked for. Of equal rewards the earliest attempt wins. An attempt without an answer has no reward.

    Args:
        module: a DSPy signature, its text, or any `dspy.Module`.
        N: attempts; the most of them, with `threshold=`.
        reward_fn: `(inputs, prediction) -> float`, or an `rtk.answers.Check` such as `task.check` gives (its score, or
            1 and 0), None where there is nothing to say; one whose second parameter is called `candidate` or `answer`,
            as that of `task.check` is, is given the answer alone. Or a `dspy.Module`, a judge: it is asked with those
            of the inputs and outputs that it has fields for, and its last output is the reward (a number, or true and
            false); or an `rtk.Endpoint`, a reward model; or `"logprob"`, the mean log-probability of an attempt's
            tokens, in nats (of a predictor; the model must give log-probabilities).
        threshold: a reward that is good enough; None for all N.
        fail_count: rewards that may fail before that is raised; by default all but one.
        wave: attempts that go out together where there is a threshold; 1 by default, which pays for none beyond it.

    Raises:
        StrategyError: for a setting that cannot be, such as a DSPy metric, which is shown the gold answer, as reward;
            when called, for a reward that is no number, for a verifier that reads what is withheld from it, and for
            more failed rewards than `fail_count`.
    """

    N = Setting(4)
    threshold = Setting()
    fail_count = Setting()
    wave = Setting()

    def __init__(
        self,
        module: Any,
        N: int = 4,
        reward_fn: Reward | dspy.Module | Literal["logprob"] | None = None,
        threshold: float | None = None,
        fail_count: int | None = None,
        *,
        wave: int | None = None,
    ) -> None:
        super().__init__()
        if reward_fn != "logprob":
            _check_reward(reward_fn)
        self.N, self.threshold, self.fail_count, self.wave = N, threshold, fail_count, wave
        self.check_settings()
        self.module = submodule(chain_of(module))
        self.judge: Any = submodule(reward_fn) if isinstance(reward_fn, dspy.Module) else None
        self.by_logprob = reward_fn == "logprob"
        self.reward_fn: Any = uncopied(reward_fn)  # type: ignore[arg-type] - of others it is not asked
        if self.by_logprob and predictor_of(self.module) is None:
            raise StrategyError(
                'reward_fn="logprob" scores a predictor\'s attempts, not the runs of a module',
                mend="a signature, dspy.Predict or dspy.ChainOfThought as module; or another reward_fn=",
            )

    def check_settings(self) -> None:
        """Refuse settings that cannot be."""
        check_whole("N", self.N)
        check_whole("wave", 1 if self.wave is None else self.wave)
        check_whole("fail_count", 0 if self.fail_count is None else self.fail_count, 0)
        threshold: Any = self.threshold
        if threshold is not None and (isinstance(threshold, bool) or not isinstance(threshold, (int, float))):
            raise StrategyError(f"threshold={threshold!r}", mend="a number, or None for all attempts")

    def asks_once(self) -> bool:
        """Whether all that is asked is known before anything comes."""
        return self.threshold is None and self.judge is None

    def flow(self, **inputs: Any) -> Flow:
        """Waves of attempts, each with its rewards, until one is good enough."""
        flat, tried, attempts = predictor_of(self.module) is not None, Candidates(), list[Rewarded]()
        config = {"logprobs": True} if self.by_logprob else {}
        while len(tried) < self.N:
            size = self.N if self.threshold is None else min(self.N - len(tried), self.wave or 1)
            if attempts:
                yield partial(self._best_of, [*attempts])
            first = 0 if flat else len(tried)
            tried.go_on((yield ask(self.module, inputs, samples=size, rollout=first, config=config)))
            came = list(tried.distinct())[len(attempts) :]
            if self.judge is not None:
                yield partial(self._best_of, [*attempts, *map(Rewarded, came)])  # should a budget end there
            new, judged = yield from self._rewarded(inputs, came)
            attempts += new
            for index, one in enumerate(new, len(attempts) - len(new)):
                tell(CandidateScored, index=index, score=one.amount, reason=one.reason)
            self._count_failures(attempts)
            again = len(attempts) < len(tried)  # at temperature 0 an attempt is the one before, which counts once
            if not judged or tried.cut is not None or again or any(self._reaches(one) for one in new):
                break
        return self._best_of(attempts)

    def _rewarded(self, inputs: dict[str, Any], came: list[Candidate]) -> Flow:
        """Attempts with their rewards, and whether all of them could be judged."""
        if self.by_logprob:
            alive, setting = [one for one in came if one.prediction is not None], 'reward_fn="logprob"'
            found, judged = [Rewarded(one, told_logprob(one, setting)) for one in alive], True
        else:
            verifier = self.reward_fn if self.judge is None else self.judge
            found, judged = yield from rewarded(verifier, self.module, inputs, came)
        by = {id(one.candidate): one for one in found}
        return [by.get(id(one)) or Rewarded(one) for one in came], judged

    def _count_failures(self, attempts: list[Rewarded]) -> None:
        failed = [one for one in attempts if one.failed]
        if len(failed) > (self.N - 1 if self.fail_count is None else self.fail_count):
            raise StrategyError(
                f"{len(failed)} of {len(attempts)} attempts have no reward; of the last, {failed[-1].reason}",
                mend=self._mend_of(failed[-1]),
            )

    def _mend_of(self, failed: Rewarded) -> str:
        if self.judge is None:
            return f"reward_fn {TAKES}, and returns a number"
        if failed.judged_by:
            return "give the judge a number as its last output, such as 'question, answer -> score: float'"
        return "ask again: what did come is kept, and what is missing is drawn"

    def _reaches(self, attempt: Rewarded) -> bool:
        return self.threshold is not None and attempt.amount is not None and attempt.amount >= self.threshold

    def _best_of(self, attempts: list[Rewarded]) -> Outcome:
        """The best attempt; the first that is good enough, where one is, and then nothing behind it counts."""
        end = next((number for number, one in enumerate(attempts, 1) if self._reaches(one)), len(attempts))
        counted = attempts[:end]
        answers = [one for one in counted if one.candidate.prediction is not None]
        root = Step("vote", "no answer", label=f"best of {len(counted)}", state="dead end")
        best = max(answers, key=lambda one: -math.inf if one.amount is None else one.amount, default=None)
        root.children = [_told(one, one is best) for one in counted]
        unused = [one.candidate for one in attempts[end:]]
        whole = [one.candidate for one in attempts], [one.amount for one in attempts]
        if best is None or best.candidate.prediction is None:
            return Outcome(self._nothing(), deliberation=root, unused=unused, attempts=whole[0], rewards=whole[1])
        root.state, root.score = "chosen", best.amount
        root.text = f"attempt {attempts.index(best) + 1} of {len(counted)}"
        others = [one.candidate.prediction for one in answers if one is not best]
        return Outcome(
            best.candidate.prediction,
            used=[best.candidate, *best.judged_by],
            completions=[one for one in (best.candidate.prediction, *others) if one is not None],
            deliberation=root,
            unused=unused,
            attempts=whole[0],
            rewards=whole[1],
        )

    def _nothing(self) -> dspy.Prediction:
        """No answer, in the fields of the module."""
        return no_answer(self.module)


def _check_reward(given: Any) -> None:
    """Refuse what is no verifier, and one that is shown the gold answer."""
    if not callable(given):
        raise StrategyError(
            f"reward_fn={given!r}",
            mend='a function (inputs, prediction) -> float, a judge, an rtk.Endpoint, or "logprob"',
        )
    if not isinstance(given, dspy.Module):
        refuse_metric("reward_fn", given)


def _told(attempt: Rewarded, best: bool) -> Step:
    step = step_of(attempt.candidate, "chosen" if best else "open")
    step.score, step.children = attempt.amount, [*step.children, *attempt.told]
    step.reason = step.reason or attempt.reason
    return step
