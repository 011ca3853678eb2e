"""`rtk.Strategy`: a DSPy module written as a generator. Subclass it; everything else comes with it."""

from __future__ import annotations

from collections.abc import Coroutine, Generator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import dspy
from dspy.dsp.utils.settings import main_thread_config

from rtk.budget import Budget, count_overdrawn, current_budgets
from rtk.deliberation import Deliberation, Kind, State, Step
from rtk.errors import SampleError, StrategyError
from rtk.samples import current_stream
from rtk.strategies.drivers import arun, run
from rtk.strategies.estimating import estimate
from rtk.strategies.flow import Attempts, Candidate, Candidates, Flow, Outcome
from rtk.strategies.forecast import Forecast
from rtk.strategies.machine import Machine
from rtk.strategies.nodes import Node
from rtk.strategies.prediction import Prediction, evidence, predicted
from rtk.strategies.questions import modules_of, predictors_of, takes
from rtk.strategies.settings import Settings, declared, shown

_UNREAD = main_thread_config["trace"]
"""DSPy's own trace, outside of every context: nobody reads it, and ten thousand entries fill the memory."""


class Strategy(dspy.Module):
    """The base of every strategy, rtk's own and a user's: one generator, `flow`, and the rest for nothing.

    A subclass holds ordinary predictors and writes `flow(self, **inputs)` (see `rtk.strategies.flow`). It then has
    sync and async calls, budgets, addresses, replay, a deliberation, optimizers, and settings that are saved:

    >>> class Twice(Strategy):
    ...     def __init__(self, signature):
    ...         super().__init__()
    ...         self.draft = dspy.ChainOfThought(signature)
    ...         self.again = dspy.ChainOfThought(dspy.Signature(signature).prepend("draft", dspy.InputField()))
    ...     def flow(self, **inputs):
    ...         drafts = yield ask(self.draft, inputs)
    ...         yield drafts[0]  # the best so far, should a budget run out
    ...         finals = yield ask(self.again, {**inputs, "draft": str(drafts[0].prediction)})
    ...         return finals[0]

    A call takes `budget=` where it is an `rtk.Budget`; anything else of that name is an input field.
    """

    asks_once: ClassVar[Any] = False
    """Whether all of its asks are made before anything comes, so that what it needs is known beforehand; or a function
    of the strategy that says so."""

    settings: Settings

    if TYPE_CHECKING:  # a checker, and completion in a notebook, know the evidence on what a call returns

        def __call__(self, *args: Any, **inputs: Any) -> Prediction:
            """Run it."""
            ...

        async def acall(self, *args: Any, **inputs: Any) -> Prediction:
            """Run it, awaited."""
            ...

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """A strategy has its settings before `__init__`, so that a subclass may forget to call it."""
        made, found = super().__new__(cls), declared(cls)
        if found.values:  # else what DSPy's own twin of a strategy saved could not be loaded
            made.settings = found
        return made

    def __repr__(self) -> str:
        """The class, the settings that are set, and the signatures of the predictors."""
        settings = self.settings.values if hasattr(self, "settings") else {}
        said = [f"{name}={shown(value)}" for name, value in settings.items() if value is not None]
        said += [f"{name}={_asked(predictor)}" for name, predictor in self.named_predictors()]
        return f"{type(self).__name__}({', '.join(said)})"

    def flow(self, **inputs: Any) -> Flow:
        """The strategy itself; see `rtk.strategies.flow`."""
        raise StrategyError(f"{type(self).__name__} has no flow", mend="write it: def flow(self, **inputs): … yield …")

    def forward(self, **inputs: Any) -> Prediction:
        """Run it; see the class for `budget=`."""
        return self._traced(run(self._machine(inputs)))

    async def aforward(self, **inputs: Any) -> Prediction:
        """Run it on the running event loop."""
        return self._traced(await arun(self._machine(inputs)))

    def estimate(self, questions: Any = None, /, **inputs: Any) -> Forecast:
        """What a call would ask and cost, before it is made: samples, those stored, tokens, dollars, seconds.

        The flow is rehearsed: what is stored answers as it is, and what is not is stood in for, in turn by candidates
        that agree, differ, are good, bad, or say nothing. The least and the most of that is given; where it is not
        `exact`, a run beyond it is unlikely and not impossible. Nothing is drawn, recorded, charged to a budget, or put
        on a trace or history. Functions that judge candidates by the inputs (checkers, rewards) are called on stored
        candidates only.

        What a sample costs is the mean of what is stored of its like: of the same model and predictor, else of the
        same model; else as many tokens as `max_tokens=` admits. A module that is no strategy is not run: its
        predictors are counted once each, and the forecast is not `bounded`. A shared budget, such as one among the
        inputs, ends things where it would end them.

        >>> program.estimate(question="What is 2 + 2?")  # doctest: +SKIP
        >>> program.estimate(task)  # its test questions, one after the other  # doctest: +SKIP

        Args:
            questions: a task, whose test questions are meant, or dicts or `dspy.Example`s; one or several. Of more than
                50, 50 that are evenly apart are rehearsed, and the sums scaled.
            **inputs: the call's inputs, perhaps with a `budget=`; with questions, what each call is given besides.

        Raises:
            StrategyError: for questions that are none.
            RTKError: as the call would, for a mistake that shows before anything comes.
        """
        return estimate(self, questions, inputs)

    def check_settings(self) -> None:
        """Refuse settings that cannot be, where they were changed after the program was built.

        Raises:
            StrategyError: naming the setting.
        """

    # --- what the machine calls ---

    def _machine(self, inputs: dict[str, Any]) -> Machine:
        return Machine(self, inputs, current_stream(), current_budgets())

    def own_budget(self, inputs: dict[str, Any]) -> tuple[tuple[Budget, ...], dict[str, Any]]:
        """The budget among the inputs, where there is one, and the other inputs."""
        given = inputs.get("budget")
        if isinstance(given, Budget):
            return (given,), {name: value for name, value in inputs.items() if name != "budget"}
        if given is not None and predictors_of(self) and not takes(self, "budget"):
            raise StrategyError(f"budget={given!r:.40} is no budget", mend="for example budget=rtk.Budget(samples=8)")
        return (), inputs

    def load_state(self, state: dict[str, Any], **options: Any) -> None:
        """Take over a saved state.

        Raises:
            StrategyError: for that of a program with other predictors or settings.
        """
        missing = [name for name, _ in self.named_parameters() if name not in state]
        if missing:
            raise StrategyError(
                f"the saved program has no {', '.join(missing)}",
                mend=f"load it into a {type(self).__name__} built as the saved one was: the same kind of program, with "
                "the settings that decide which predictors it has",
            )
        super().load_state(state, **options)

    def begin(self, inputs: dict[str, Any]) -> Flow:
        """The generator of one call."""
        flow = self.flow(**inputs)
        if not isinstance(flow, Generator):
            if isinstance(flow, Coroutine):
                flow.close()  # else Python warns that nobody awaited it
            raise StrategyError(
                f"{type(self).__name__}.flow is no generator", mend="yield ask(...) in it at least once"
            )
        return flow

    def conclude(self, node: Node, value: Any) -> Prediction:
        """What a finished generator returned, as a prediction with its evidence."""
        outcome = self._outcome(node, value)
        if not node.stopped and not self.answered(outcome.prediction):
            self._refuse_silence(node)
        count_overdrawn(node.budgets, sum(max(1, len(one.addresses)) for one in outcome.unused))
        root = outcome.deliberation or _narrated(self, node.asked, outcome.used)
        return predicted(
            dict(outcome.prediction.items()),
            completions=outcome.completions or [outcome.prediction],
            deliberation=Deliberation(root),
            spent=node.meter.spent,
            stopped=node.stopped,
            confidence=outcome.confidence,
            vote=outcome.vote,
            seconds=node.seconds,
            abstentions=_abstentions(node.asked, outcome.unused),
            cut=node.cut,
            trace=[entry for candidate in outcome.used for entry in candidate.trace],
            attempts=attempts_of(outcome, node.asked),
            **outcome.about,
        )

    def _refuse_silence(self, node: Node) -> None:
        """Where nothing came at all, an empty answer would hide it."""
        if set(_abstentions(node.asked)) != {"failed"}:
            return
        reason = next(one.abstention.reason for asked in node.asked for one in asked if one.abstention)
        raise SampleError(
            f"{type(self).__name__}: no sample came ({reason})",
            mend="ask again: what did come is kept and is not drawn twice",
            kind=reason.partition(":")[0] or "failed",
        )

    def _outcome(self, node: Node, value: Any) -> Outcome:
        if isinstance(value, Outcome):
            prediction = self._prediction(value.prediction)
            return value if prediction is value.prediction else replace(value, prediction=prediction)
        if isinstance(value, Candidate):
            prediction = value.prediction if value.prediction is not None else self._nothing()
            return Outcome(prediction, used=_path(node.asked, value))
        prediction = self._nothing() if value is None else self._prediction(value)
        return Outcome(prediction, used=_path(node.asked, _whose(node.asked, prediction)))

    def _prediction(self, value: Any) -> dspy.Prediction:
        if isinstance(value, dspy.Prediction):
            return value
        if isinstance(value, Mapping):
            return dspy.Prediction(**value)
        raise StrategyError(
            f"{type(self).__name__}.flow came to {type(value).__name__}",
            mend="return a candidate, a prediction, a dict of fields, or an rtk.Outcome that holds one",
        )

    def _nothing(self) -> dspy.Prediction:
        """No answer: every output field that one of the predictors has, empty."""
        return _empty(self)

    def answered(self, prediction: Any) -> bool:
        """Whether a prediction says anything."""
        return any(value is not None for value in prediction.values())

    def _traced(self, prediction: Prediction) -> Prediction:
        """Put what the answer rests on, and nothing else, on DSPy's trace: optimizers learn from it."""
        trace, limit = dspy.settings.trace, dspy.settings.max_trace_size
        if trace is not None and trace is not _UNREAD and limit > 0:
            trace.extend(evidence(prediction, "trace"))
            del trace[: max(0, len(trace) - limit)]
        return prediction


def attempts_of(outcome: Outcome, asked: Sequence[Candidates]) -> Attempts:
    """What an answer was chosen from."""
    only = asked[0] if len(asked) == 1 else ()
    found = outcome.attempts or (only if any(one.prediction is outcome.prediction for one in only) else ())
    unused, first = {id(one) for one in outcome.unused}, id(found[0]) if found else None
    wanted = next((got.asked for got in asked if any(id(one) == first for one in got)), None)
    return Attempts(tuple(found), tuple(outcome.rewards), sum(id(one) not in unused for one in found), wanted)


def no_answer(program: dspy.Module) -> dspy.Prediction:
    """No answer, in the fields of a program that a strategy runs."""
    return program._nothing() if isinstance(program, Strategy) else _empty(program)


def _empty(program: dspy.Module) -> dspy.Prediction:
    signatures: list[Any] = [one.signature for one in predictors_of(program)]
    return dspy.Prediction(**dict.fromkeys(name for signature in signatures for name in signature.output_fields))


def _asked(predictor: Any) -> str:
    demos = f" with {len(predictor.demos)} demos" if predictor.demos else ""
    return f"{predictor.signature.signature!r}{demos}"


def submodule(program: Any) -> dspy.Module:
    """A program as part of another one; a compiled one as a copy that optimizers, `set_lm` and `save` can see."""
    if getattr(program, "_compiled", False):
        program = program.deepcopy()
        program._compiled = False
    return program


def _path(asked: Sequence[Candidates], chosen: Candidate | None) -> list[Candidate]:
    """What an answer rests on where nothing more is said: single candidates, and the chosen one among several."""
    return [
        candidate
        for candidates in asked
        for candidate in candidates
        if candidate is chosen or (len(candidates) == 1 and (chosen is None or not _same_ask(candidates, chosen)))
    ]


def _same_ask(candidates: Candidates, chosen: Candidate) -> bool:
    return any(candidate is chosen for candidate in candidates)


def _whose(asked: Sequence[Candidates], prediction: Any) -> Candidate | None:
    return next((one for candidates in asked for one in candidates if one.prediction is prediction), None)


def _abstentions(asked: Sequence[Candidates], unused: Sequence[Candidate] = ()) -> dict[str, int]:
    apart = {id(one) for one in unused}
    heard = [one for got in asked for one in got.distinct() if id(one) not in apart]
    kinds = [one.abstention.kind for one in heard if one.abstention is not None]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def _narrated(strategy: Strategy, asked: Sequence[Candidates], used: Sequence[Candidate]) -> Step:
    """The deliberation of a strategy that tells none itself: all it was sent, by whom, and what of it was used."""
    chosen, name = {id(candidate) for candidate in used}, type(strategy).__name__
    who = {id(module): where for where, module in modules_of(strategy)}
    children = [
        step_of(one, "chosen" if id(one) in chosen else "open", label="" if one.abstention else _role(got, who))
        for got in asked
        for one in got
    ]
    return Step("route", name, label=name, state="chosen", children=children)


def _role(got: Candidates, who: dict[int, str]) -> str:
    """What a strategy calls the program that was asked; nothing where it has but one."""
    several = sum("." not in where for where in who.values()) > 2  # itself among them
    return who.get(id(got.program), "") if several else ""


def step_of(candidate: Candidate, state: State = "open", kind: Kind = "chain", label: str = "") -> Step:
    """One candidate as a step of a deliberation."""
    if candidate.abstention is not None:
        abstention = candidate.abstention
        text = candidate.sample.text if candidate.sample is not None else ""
        return Step(kind, text, state="dead end", label=label or abstention.kind, tokens=candidate.tokens,
                    address=candidate.address, reason=abstention.reason or abstention.kind)  # fmt: skip
    fields = dict(candidate.prediction.items()) if candidate.prediction is not None else {}
    text = "\n".join(f"{name}: {value}" for name, value in fields.items())
    children = [candidate.deliberation] if candidate.deliberation is not None else []
    tokens = candidate.tokens if not children else 0
    return Step(kind, text, state=state, label=label, tokens=tokens, address=candidate.address, children=children)
