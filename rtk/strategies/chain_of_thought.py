"""Chain of thought: reason step by step, check the steps, then answer (Wei et al., 2022, arXiv:2201.11903)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self

import dspy

from rtk.deliberation import Step
from rtk.errors import StrategyError
from rtk.strategies.flow import Flow, Outcome, ask
from rtk.strategies.inputs import Inputs, refuse_metric
from rtk.strategies.questions import question, signature_of, unused, without_reasoning
from rtk.strategies.sampling import predictor_of
from rtk.strategies.settings import Setting, check_whole, declared
from rtk.strategies.step_checks import Chain, Checks, arithmetic, check_chain, name_of, taken_apart
from rtk.strategies.strategy import Strategy, no_answer, submodule

SHOWN = ("attempt", "mistake")  # what a repair is shown, as fields


class _Own(Setting):
    """A setting that a plain chain does without: it has no state beyond its predictor's, as DSPy's has none."""

    def __get__(self, program: Any, owner: type | None = None) -> Any:
        if program is None:
            return self
        return super().__get__(program, owner) if "settings" in vars(program) else self.default

    def __set__(self, program: Any, value: Any) -> None:
        if "settings" not in vars(program):
            program.settings = declared(type(program))
        super().__set__(program, value)
        program._prepare()


class ChainOfThought(Strategy):
    """One chain of reasoning, taken apart into steps and checked, then the answer.

    Unlike `dspy.ChainOfThought` it is a strategy: it takes `budget=`, a malformed completion is an abstention (its
    outputs are None) instead of an error, and what is wrong in the reasoning is shown on the deliberation. Its
    predictor is `.predict` and its field `reasoning`, as DSPy's, so saved DSPy chains load; without `steps=` its
    request is DSPy's, so samples are shared. What a reasoning model thought before it replied is told as steps, too.

    Where a check fails and there is a repair left, a second predictor, `.revise`, is shown the attempt and the failed
    step, and writes the reasoning and the answer anew; that chain is checked likewise. The chain with fewer failed
    checks is the answer, the earlier one where they are even. The deliberation keeps all of them.

    Args:
        signature: a DSPy signature, or its text. Or a module: its predictor, where it is a `dspy.Predict` or
            `dspy.ChainOfThought`; any other is run, and the `reasoning` that it gives is taken apart and checked.
        steps: asks for numbered steps: at most so many, or however many it takes (True). A chain with more of them
            than were asked for is used all the same, and its deliberation says so. None asks for nothing.
        checks: run in order on each step: `"arithmetic"` (calculations and equalities, see
            `rtk.answers.check_arithmetic`), and functions `(inputs, step, steps_so_far) -> Check`, of which True,
            False and None are one, too. A function of two arguments, such as `task.check`, checks the answer. None of
            them is shown a gold answer. None is `"arithmetic"`; `()` checks nothing.
        repair: how many further asks failed checks may cost. By default 1 where `steps=` or `checks=` is given; else
            0, so that a plain chain is one sample.
        **config: sampling parameters of the predictors; none with a module.

    Raises:
        StrategyError: for a setting that cannot be; when called, for a check that fails itself, naming it.
    """

    steps = _Own()
    checks = _Own()
    repair = _Own()

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Without settings until one is set, so that a plain chain's state is DSPy's; a subclass's own stay."""
        made = super().__new__(cls, *args, **kwargs)
        if all(isinstance(getattr(cls, name), _Own) for name in made.settings.values):
            del made.settings
        return made

    def __init__(
        self,
        signature: Any,
        *,
        steps: int | bool | None = None,
        checks: Checks | Sequence[Checks] | None = None,
        repair: int | None = None,
        **config: Any,
    ) -> None:
        super().__init__()
        _check(steps, repair)
        self._arithmetic: Callable[..., Any] = arithmetic  # an attribute, so that a rehearsal can stand in for it
        self.predict = _chain(signature, steps, config)
        for name, value in (("steps", steps), ("checks", _listed(checks)), ("repair", repair)):
            if value is not None:
                setattr(self, name, value)

    def check_settings(self) -> None:
        """Refuse settings that cannot be."""
        _check(self.steps, self.repair)

    def asks_once(self) -> bool:
        """Whether the one chain is all that may be asked."""
        return not (self._repairs and self._checks)

    @property
    def _repairs(self) -> int:
        if self.repair is not None:
            return self.repair
        return int(self.steps is not None or self.checks is not None)

    @property
    def _checks(self) -> list[Any]:
        wanted = ["arithmetic"] if self.checks is None else self.checks
        return [self._arithmetic if one == "arithmetic" else one for one in wanted]

    def _prepare(self) -> None:
        """Have the predictor that a repair needs."""
        if not self.asks_once() and "predict" in vars(self) and "revise" not in vars(self):
            self.revise = _reviser(self.predict)

    def load_state(self, state: dict[str, Any], **options: Any) -> None:
        """Take over a saved state: this strategy's, or that of a `dspy.ChainOfThought`, which knows no repair.

        Raises:
            StrategyError: for settings that this strategy does not have.
        """
        if "settings" in state and "settings" not in vars(self):
            self.settings = declared(type(self))
        if "revise" in state and "revise" not in vars(self):
            self.revise = _reviser(self.predict)
        super().load_state({**self.dump_state(), **state}, **options)

    # --- the flow ---

    def flow(self, **inputs: Any) -> Flow:
        """One chain, and repairs as long as checks fail."""
        shown = Inputs.of(self, inputs)
        first = (yield ask(self.predict, self._asked(self.predict, inputs)))[0]
        best = check_chain(taken_apart(first), shown, self._checks)
        chains = [best]
        for _ in range(self._repairs):
            if not best.failures:
                break
            yield partial(self._outcome_of, [*chains], best)  # should a budget end here
            names = unused(_signature(self.predict), *SHOWN)
            wanted = {**inputs, names[0]: best.attempt(), names[1]: best.mistakes()}
            again = taken_apart((yield ask(self.revise, self._asked(self.revise, wanted)))[0])
            again.revises = f"asked to mend: {best.failures[0].where}"[:200]
            chains.append(check_chain(again, shown, self._checks))
            if again.candidate.prediction is not None and len(again.failures) < len(best.failures):
                best = again
        return self._outcome_of(chains, best)

    def _asked(self, predictor: Any, inputs: dict[str, Any]) -> dict[str, Any]:
        """The inputs; and where numbered steps are wanted, a signature that asks for them in this call.

        It is no part of the predictor, so that its saved state is DSPy's and an optimizer cannot lose it.
        """
        if self.steps is None:
            return inputs
        asked: Any = inputs.get("signature", predictor.signature)
        most = "one for each inference" if self.steps is True else f"at most {self.steps} of them"
        return {
            **inputs,
            "signature": asked.with_instructions(
                f"{asked.instructions}\nReason in numbered steps (1., 2., …), each on a line of its own, {most}; "
                "then give the answer."
            ),
        }

    def _outcome_of(self, chains: list[Chain], best: Chain) -> Outcome:
        prediction = best.candidate.prediction
        cap = self.steps if self.steps is not True else None
        told = [one.told("chosen" if one is best else "pruned", cap) for one in chains]
        root = told[0]
        if len(chains) > 1:
            mended = (
                f"revision {chains.index(best)} of {len(chains) - 1}" if best is not chains[0] else "the first chain"
            )
            root = Step("route", best.answer, label=f"{mended} is kept", state="chosen", children=told)
        others = [one.candidate.prediction for one in chains if one is not best]
        return Outcome(
            prediction if prediction is not None else self._nothing(),
            used=[best.candidate],
            completions=[one for one in (prediction, *others) if one is not None],
            deliberation=root,
            attempts=[best.candidate] if len(chains) == 1 else (),
        )

    def _nothing(self) -> dspy.Prediction:
        """No answer, in the fields of the chain."""
        return no_answer(self.predict)


def _check(steps: Any, repair: Any) -> None:
    """Refuse amounts that cannot be."""
    if steps is not None and steps is not True:
        check_whole("steps", steps)
    if repair is not None:
        check_whole("repair", repair, 0)


def _chain(on: Any, steps: Any, config: dict[str, Any]) -> Any:
    """What gives the chain: a predictor, or a module of the user's.

    Raises:
        StrategyError: for a setting that reaches a predictor only.
    """
    if not isinstance(on, dspy.Module):
        return dspy.ChainOfThought(question(on), **config).predict
    found = predictor_of(on)
    for name in [*config, *(["steps"] if steps is not None and found is None else [])]:
        raise StrategyError(f"{name}= of a module", mend="set it on the module's own predictors, or in their prompts")
    return submodule(on) if found is None or found is on else found


def _signature(chain: Any) -> Any:
    return chain.signature if isinstance(chain, dspy.Predict) else signature_of(chain)


def _reviser(chain: Any) -> Any:
    """The predictor that writes a chain anew, asked as the chain's own is."""
    config = chain.config if isinstance(chain, dspy.Predict) else {}
    return dspy.ChainOfThought(_revision(_signature(chain)), **config).predict


def _listed(checks: Any) -> list[Any] | None:
    """The checks as a list.

    Raises:
        StrategyError: for one that is none.
    """
    if checks is None:
        return None
    found = [checks] if isinstance(checks, str) or callable(checks) else list(checks)
    for one in found:
        if one != "arithmetic" and not callable(one):
            known = one if isinstance(one, str) else name_of(one)
            raise StrategyError(
                f"checks={known!r}", mend='"arithmetic", or functions (inputs, step, steps_so_far) -> Check'
            )
        if callable(one):
            refuse_metric("checks", one, most=3)
    return found


def _revision(signature: Any) -> Any:
    """A chain's signature, less its reasoning, which sees an attempt and what is wrong with it."""
    attempt, mistake = unused(signature, *SHOWN)
    plain = without_reasoning(signature)
    asked = plain.with_instructions(
        f"{plain.instructions}\nAn earlier attempt has a mistake. Write the reasoning anew without it, then the answer."
    )
    shown = asked.append(attempt, dspy.InputField(desc="the earlier reasoning and its answer"), str)
    return shown.append(mistake, dspy.InputField(desc="the step that is wrong, and why"), str)
