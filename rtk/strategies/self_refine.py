"""Self-refine: draft, verify, revise with what was found, keep the best (Madaan et al., 2023, arXiv:2303.17651)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import dspy
from dspy.signatures.signature import make_signature

from rtk._html import visible
from rtk.answers import Comparer, equal
from rtk.deliberation import Step
from rtk.errors import StrategyError
from rtk.events import CandidateScored, tell
from rtk.strategies.explaining import TRAIL, explainer, held, reason, summary, trail
from rtk.strategies.flow import Candidate, Flow, Outcome, ask
from rtk.strategies.inputs import refuse_metric
from rtk.strategies.prediction import evidence
from rtk.strategies.questions import chain_of, predictors_of, signature_of, unused, without_reasoning
from rtk.strategies.rewards import TAKES
from rtk.strategies.sampling import predictor_of
from rtk.strategies.settings import Setting, check_whole
from rtk.strategies.step_checks import arithmetic
from rtk.strategies.strategy import Strategy, no_answer, step_of, submodule
from rtk.strategies.verifying import Attempt, Panel, Verifier, names_of

ARITHMETIC, CRITIQUE, JUDGE = "arithmetic", "critique", "judge"
PLAIN = "plain"
SHOWN = ("attempt", "finding", "passes")  # what is attempted, found in it and said of it, as fields
Verify = Literal["arithmetic", "critique"] | Verifier | dspy.Module


class _Equipped(Setting):
    """A setting that may need a predictor of its own, which the program has from then on."""

    def __set__(self, program: Any, value: Any) -> None:
        super().__set__(program, program._taken_in(value) if self.name == "verify" else value)
        program._equip()


class SelfRefine(Strategy):
    """Draft an answer, verify it, revise it with what was found, and keep the attempt that verification likes best.

    The draft is a chain of thought of a signature, or a run of a module, and shares its samples with any program that
    asks the same. It is verified. Where it does not pass, the predictor `.revise` is shown the inputs, the attempt and
    the finding, and writes it anew; that is verified likewise, round by round. It ends when an attempt passes, when a
    revision gives an answer that an earlier attempt gave and the same is found in it, when a verifier cannot tell (then
    there is nothing to revise by), after `rounds` rounds, or with a budget. Where a draft gives no answer, the next
    round is another draft.

    What passes is the answer. Else it is the attempt that passed more of the verifiers, then the one that scored
    higher; of equals the earlier one: without evidence a revision is no better than what it revises. An attempt that
    was not verified, since its verifier failed or a budget ended there, is behind one that was found wanting.

    Verify from outside the model where you can: arithmetic, a checker, a tool. A model that criticises itself without
    any outside evidence often talks itself out of right answers (Huang et al., 2023, arXiv:2310.01798); a vote at the
    same cost (`rtk.SelfConsistency`) is the thing to compare with.

    No verifier sees the gold answer. The deliberation holds every attempt and every finding, and says which one was
    kept and why.

    Args:
        signature: a DSPy signature, its text, or any `dspy.Module` that has predictors.
        verify: who verifies; several in a list, of which all must pass, asked in order up to the first that does not.
            `"arithmetic"`: the calculations and equalities in its reasoning, see `rtk.answers.check_arithmetic`; the
            fewer are wrong the better. `"critique"`: the model itself, by the predictor `.critic`, which is shown the
            inputs and the attempt, and writes a finding and whether it passes. A function `(inputs, prediction)` that
            returns an `rtk.answers.Check`, a bool, a number, or None where it cannot tell; one whose second parameter
            is called `candidate` or `answer`, as that of `task.check` is, is given the answer alone. A `dspy.Module`, a
            judge, or an `rtk.Endpoint`: it is asked with those of the inputs and outputs that it has fields for, its
            last output is the verdict (yes and no, or a number), and the others are the finding.
        rounds: how many revisions at most; 0 for a draft that is verified and no more.
        threshold: the number from which on an attempt passes. None: a number alone never passes, it grades, and all
            rounds are made; a bool or a `Check` decides by itself.
        explain: whether `pred.explanation` tells the reader how the answer came about. `"plain"`: in sentences put
            together from the audit trail, without a model. True: the predictor `.explainer` writes them from the trail
            in words, and sees nothing else; a sentence is dropped where it has a number, an equation, a quotation, a
            name (behind its first word) or a link that the trail has not, and where none is left, or a budget ends
            there, the plain one stands. Whether what is left is true is the model's word. It is evidence, and no field
            of the prediction.
        critic: of `"critique"`: a module in place of the predictor `.critic`; its input fields are among the inputs,
            the outputs and `attempt` (the reasoning and the answer as text), its last output is the verdict.
        comparer: which answers are the same; see `rtk.answers.equal`.

    Raises:
        StrategyError: for a setting that cannot be, such as a DSPy metric, which is shown the gold answer, or a module
            that nobody knows the signature of; when called, for a verifier that failed on every attempt, reads what is
            withheld from it, or says something else than a verdict.
    """

    verify = _Equipped(ARITHMETIC)
    rounds = Setting(3)
    threshold = Setting()
    explain: Any = _Equipped(False)
    comparer: Any = Setting("auto")

    def __init__(
        self,
        signature: Any,
        verify: Verify | Sequence[Verify] = ARITHMETIC,
        rounds: int = 3,
        *,
        threshold: float | None = None,
        explain: bool | Literal["plain"] = False,
        critic: dspy.Module | None = None,
        comparer: Comparer = "auto",
    ) -> None:
        super().__init__()
        self._arithmetic: Callable[..., Any] = arithmetic  # an attribute, so that a rehearsal can stand in for it
        self.draft: Any = submodule(chain_of(signature))
        self.revise = _reviser(self.draft)
        if critic is not None:
            self.critic: Any = submodule(critic)
        self.verify = verify
        self.rounds, self.threshold, self.explain, self.comparer = rounds, threshold, explain, comparer
        if critic is not None and CRITIQUE not in self._verifiers:
            raise StrategyError('critic= is asked by verify="critique" only', mend='verify="critique", or no critic=')
        self.check_settings()

    def check_settings(self) -> None:
        """Refuse settings that cannot be."""
        check_whole("rounds", self.rounds, 0)
        if not (isinstance(self.explain, bool) or self.explain == PLAIN):
            raise StrategyError(f"explain={self.explain!r:.40}", mend='False, "plain", or True, which asks a model')
        threshold: Any = self.threshold
        number = isinstance(threshold, (int, float)) and not isinstance(threshold, bool) and not math.isnan(threshold)
        if threshold is not None and not number:
            raise StrategyError(f"threshold={threshold!r}", mend="a number, or None where verdicts decide")
        if not self._verifiers:
            raise StrategyError("verify= names nobody", mend='verify="arithmetic", "critique", a checker or a judge')
        for one in self._verifiers:
            self._check_verifier(one)
        if not callable(self.comparer):
            equal("", "", self.comparer)  # which refuses what cannot be

    def _check_verifier(self, one: Any) -> None:
        if isinstance(one, str) and one not in (ARITHMETIC, CRITIQUE):
            if one in self._judges:
                return
            known = one.startswith(JUDGE)
            raise StrategyError(
                f"verify={one!r}" + (": this program was built without" if known else ""),
                mend="build the program with its judge, then load"
                if known
                else '"arithmetic", "critique", a function (inputs, prediction) -> Check, or a judge',
            )
        if not isinstance(one, str):
            if not callable(one):
                raise StrategyError(f"verify={one!r:.60}", mend="a function (inputs, prediction) -> Check, or a judge")
            refuse_metric("verify", one)

    def asks_once(self) -> bool:
        """Whether all that is asked is known before anything comes."""
        return self.rounds == 0 and self.explain is not True and not self._panel({}).asks()

    # --- what it has besides the draft ---

    @property
    def _verifiers(self) -> list[Any]:
        given: Any = self.verify
        return list(given) if isinstance(given, (list, tuple)) else [given]

    @property
    def _judges(self) -> dict[str, dspy.Module]:
        return {f"{JUDGE} {place}": one for place, one in enumerate(vars(self).get("judges", ()), 1)}

    def _taken_in(self, value: Any) -> Any:
        """Verifiers as a setting that can be saved: judges become modules of this program, and go by their names."""
        if isinstance(value, (list, tuple)):
            return [self._taken_in(one) for one in value]
        if not isinstance(value, dspy.Module):
            return value
        known = next((name for name, one in self._judges.items() if one is value), None)
        if known is None:
            self.judges = [*vars(self).get("judges", ()), submodule(value)]
        return known or f"{JUDGE} {len(self.judges)}"

    def _equip(self) -> None:
        """Have the predictors that the settings need."""
        if "draft" not in vars(self):
            return
        if CRITIQUE in self._verifiers and "critic" not in vars(self):
            self.critic = _critic(self.draft)
        if self.explain is True and "explainer" not in vars(self):
            self.explainer = explainer()

    def load_state(self, state: dict[str, Any], **options: Any) -> None:
        """Take over a saved state, with the predictors that its settings need; what it does without is left as it is.

        Raises:
            StrategyError: for that of a program with other predictors or settings.
        """
        if "critic" in state and "critic" not in vars(self):
            self.critic = _critic(self.draft)
        if "explainer" in state and "explainer" not in vars(self):
            self.explainer = explainer()
        optional = ("critic", "explainer", "judges")
        mine = {name: one for name, one in self.dump_state().items() if name.partition(".")[0].startswith(optional)}
        super().load_state({**mine, **state}, **options)

    def _panel(self, inputs: dict[str, Any]) -> Panel:
        """Who verifies an attempt at these inputs."""
        by = {ARITHMETIC: None, CRITIQUE: vars(self).get("critic"), **self._judges}
        asked = [by[one] if isinstance(one, str) else one for one in self._verifiers]
        panel = list(zip(names_of(self._verifiers), asked, strict=True))
        critic = (by[CRITIQUE], unused(_signature(self.draft), *SHOWN)[0])
        return Panel(self.draft, inputs, panel, critic, self._arithmetic, self.threshold)

    # --- the flow ---

    def flow(self, **inputs: Any) -> Flow:
        """A draft, and rounds of verifying and revising until one of them passes, or nothing more comes of it."""
        panel, attempts, why = self._panel(inputs), list[Attempt](), ""
        for number in range(self.rounds + 1):
            if attempts:
                yield partial(self._outcome_of, [*attempts])  # should a budget end here
            new = yield from self._attempted(inputs, attempts, number)
            attempts.append(new)
            why = _same_sample(attempts)
            if new.answered and not why:
                if panel.asks():
                    yield partial(self._outcome_of, [*attempts])
                yield from panel.verify(new)
                why = self._ending(attempts)
            tell(CandidateScored, index=number, score=new.score, reason=new.finding)
            if why:
                break
        self._refuse_broken(attempts, panel)
        return (yield from self._explained(attempts, why or _spent(self.rounds)))

    def _attempted(self, inputs: dict[str, Any], attempts: list[Attempt], number: int) -> Flow:
        """A draft, or a revision of the last attempt that gave an answer; each in the rollout of its round."""
        last = next((one for one in reversed(attempts) if one.answered), None)
        if last is None:
            flat = predictor_of(self.draft) is not None  # further drafts of a predictor are its further samples
            return Attempt((yield ask(self.draft, inputs, rollout=0 if flat else number))[0], number)
        names = unused(_signature(self.draft), *SHOWN)
        asked = {name: value for name, value in inputs.items() if name != "signature"}
        asked |= {names[0]: last.chain.attempt(), names[1]: last.finding}
        came: Candidate = (yield ask(self.revise, asked, rollout=number))[0]
        came.index = number
        return Attempt(_whole(came, last), number, last)

    def _ending(self, attempts: list[Attempt]) -> str:
        """Why there is no further round; empty where there is one."""
        new = attempts[-1]
        if new.passed:
            return "it passed"
        if new.passed is None:
            return "there is no verdict to revise by"
        for one in attempts[:-1]:
            if one.answered and new.says_as(one, self.comparer) and equal(new.finding, one.finding, "similar"):
                return f"nothing changed since {one.name}"
        return ""

    def _refuse_broken(self, attempts: list[Attempt], panel: Panel) -> None:
        """Where a function failed whenever it was asked, an answer that nobody verified would hide it."""
        for name, verifier in panel.verifiers:
            said = [one for attempt in attempts for one in attempt.verified if one.by == name]
            if said and not isinstance(verifier, dspy.Module) and all(one.failed for one in said):
                raise StrategyError(
                    f"{name} verified none of {len(said)} attempts; of the last, {said[-1].finding}",
                    mend=f"it {TAKES}, and returns an rtk.answers.Check",
                )

    # --- what it comes to ---

    def _explained(self, attempts: list[Attempt], why: str) -> Flow:
        """The outcome, with what a reader is told of it."""
        best = _best(attempts)
        if self.explain is not True or not best.answered:
            return self._outcome_of(attempts, why)
        yield partial(self._outcome_of, attempts, why)
        record = trail(attempts, best, why)
        reply: Candidate = (yield ask(self.explainer, {TRAIL: record}))[0]
        written = list((reply.prediction or {}).values())
        said, dropped = held(str(written[-1]) if written else "", record)
        told = step_of(reply, "kept" if said else "dead end", "step", label="explanation")
        if dropped:
            told.reason = f"not in the trail: {' '.join(dropped)}"
        outcome = self._outcome_of(attempts, why, said)
        outcome.used = [*outcome.used, *([reply] if said and not dropped else [])]
        if outcome.deliberation is not None:
            outcome.deliberation.children.append(told)
        return outcome

    def _outcome_of(self, attempts: list[Attempt], why: str = "a budget ran out", explanation: str = "") -> Outcome:
        best = _best(attempts)
        told = [one.told("chosen" if one is best else "pruned") for one in attempts]
        root = Step("route", best.answer, best.score, "chosen", f"{best.name} is kept", children=told)
        root.reason = reason(attempts, best, why)
        plain = summary(attempts, best, why) if self.explain else ""
        outcome = Outcome(
            no_answer(self.draft),
            deliberation=root,
            attempts=[one.candidate for one in attempts],
            rewards=[one.score for one in attempts],
            about={"explanation": visible(explanation or plain)} if self.explain else {},
        )
        if best.candidate.prediction is None:
            root.state, root.label, root.text = "dead end", "no answer", "no answer"
            return outcome
        outcome.prediction = best.candidate.prediction
        others = [one.candidate.prediction for one in attempts if one is not best]
        outcome.completions = [one for one in (outcome.prediction, *others) if one is not None]
        outcome.used = [best.candidate, *_behind(best, self.comparer)]
        outcome.confidence = evidence(outcome.prediction, "confidence")
        return outcome

    def _nothing(self) -> dspy.Prediction:
        """No answer, in the fields of the draft."""
        return no_answer(self.draft)


def _best(attempts: list[Attempt]) -> Attempt:
    return max(attempts, key=lambda one: one.rank)  # the first one of equals


def _behind(best: Attempt, comparer: Comparer) -> list[Candidate]:
    """The models' verdicts that an answer rests on: those on it, and the finding that led to it from another answer."""
    said = [one for one in best.verified if one.passed]
    if best.revises is not None and not best.says_as(best.revises, comparer):
        said = [*(one for one in best.revises.verified if one.passed is False), *said]
    return [reply for one in said for reply in one.used]


def _same_sample(attempts: list[Attempt]) -> str:
    """Whether the last attempt says, to the letter, what an earlier one does: then it is not verified again."""
    new = attempts[-1]
    for one in attempts[:-1]:
        if new.answered and new.fields == one.fields:
            new.verified = [replace(said, told=[]) for said in one.verified]
            return f"nothing changed since {one.name}"
        if not new.answered and new.candidate.addresses and new.candidate.addresses == one.candidate.addresses:
            return "no further draft can be had at temperature 0"
    return ""


def _spent(rounds: int) -> str:
    if rounds == 0:
        return "no revision was asked for"
    return "its one round was made" if rounds == 1 else f"all {rounds} rounds were made"


def _whole(came: Candidate, last: Attempt) -> Candidate:
    """A revision with what else the module it revises puts out, so that its fields are those of the draft."""
    if came.prediction is None or all(name in came.prediction for name in last.fields):
        return came
    kept_of = {name: value for name, value in last.fields.items() if name != "reasoning"}
    came.prediction = dspy.Prediction(**{**kept_of, **dict(came.prediction.items())})
    return came


# --- the predictors ---


def _signature(draft: dspy.Module) -> Any:
    """What is answered, without reasoning."""
    found = predictor_of(draft)
    return signature_of(draft) if found is None else without_reasoning(found.signature)


def _reviser(draft: dspy.Module) -> Any:
    """The predictor that writes an attempt anew, asked as the draft is, and with reasoning where that has it."""
    plain = _signature(draft)
    attempt, finding, _ = unused(plain, *SHOWN)
    asked = plain.with_instructions(
        f"{plain.instructions}\nAn earlier attempt is shown, and what was found in it. Write it anew, and mend that."
    )
    asked = asked.append(attempt, dspy.InputField(desc="the earlier reasoning and its answer"), str)
    asked = asked.append(finding, dspy.InputField(desc="what is wrong with it"), str)
    last: Any = predictors_of(draft)[-1]
    thinks = "reasoning" in last.signature.output_fields
    found, own = predictor_of(draft), last.config if predictor_of(draft) is not None else {}
    made: Any = dspy.ChainOfThought(asked, **own).predict if thinks else dspy.Predict(asked, **own)
    made.lm = last.lm if found is not None else None
    return made


def _critic(draft: dspy.Module) -> Any:
    """The predictor that says what is wrong with an attempt, then whether it passes."""
    plain = _signature(draft)
    attempt, finding, passes = unused(plain, *SHOWN)
    asked: Any = make_signature(
        {name: (one.annotation, one) for name, one in plain.input_fields.items()},
        f"Review an attempt at this task.\nThe task: {plain.instructions}\nSay what is wrong with the attempt, if "
        "anything is, then whether it passes: only where all of it is right.",
    )
    asked = asked.append(attempt, dspy.InputField(desc="the reasoning and its answer"), str)
    asked = asked.append(finding, dspy.OutputField(desc="what is wrong with it, or that nothing is"), str)
    made: Any = dspy.Predict(asked.append(passes, dspy.OutputField(desc="whether all of it is right"), bool))
    found = predictor_of(draft)
    made.lm = found.lm if found is not None else None
    return made
