"""A cascade: levels of rising effort, each answer given where it is sure enough, else the next level, or a person.

FrugalGPT (Chen et al., 2023, arXiv:2305.05176); detectors in a row (Viola and Jones, 2001); answers left to a person
(Madras et al., 2018, arXiv:1711.06664).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import dspy

from rtk._progress import Progress
from rtk.budget import Budget
from rtk.errors import BudgetSpent, StrategyError
from rtk.retrieval import Retriever
from rtk.strategies.accepting import DEFAULT, LOOKED_UP, Gate, check_accept
from rtk.strategies.calibrated import Calibrated
from rtk.strategies.citing import CONTEXT
from rtk.strategies.confidences import LOGPROB, check_confidences, measured
from rtk.strategies.escalating import Learning, calibrated, learning, table_of
from rtk.strategies.flow import Candidate, Flow, Outcome
from rtk.strategies.handing_over import HandOver, handed_over
from rtk.strategies.levels import AnyLevel, Found, Function, called, level_of, looks_up, name_of, run, said, searched
from rtk.strategies.prediction import evidence
from rtk.strategies.questions import predictors_of, question, signature_of, without_reasoning
from rtk.strategies.rewards import uncopied
from rtk.strategies.routes import Level, Route
from rtk.strategies.settings import Setting, shown
from rtk.strategies.strategy import Strategy, submodule
from rtk.strategies.trails import Trail, accepted_as
from rtk.strategies.trials import Metric, Trials, atried, check_metric, examples_of, metric_of, tried

QUESTION = "question -> answer"


class Cascade(Strategy):
    """Try levels in order; give the first answer that is sure enough.

    >>> chat = rtk.Cascade(
    ...     {
    ...         "faq": rtk.Retriever([("How do I reset my password?", "Use the link on the sign-in page.")]),
    ...         "sums": "calculator",
    ...         "direct": "context, question -> answer",
    ...         "deep": rtk.SelfConsistency("context, question -> answer", samples=8),
    ...     },
    ...     confidence={"direct": "logprob"},
    ...     hand_over=True,
    ... )  # doctest: +SKIP
    >>> chat.deep.set_lm(larger)  # a level with a model of its own  # doctest: +SKIP
    >>> chat.calibrate(task.dev, metric=task.metric, wrong_accepts=0.05)  # doctest: +SKIP

    A level is

    * an `rtk.Retriever`: the answer of its best passage, as sure as that passage; it is asked in place, with no model
      call;
    * a function, or a `dspy.Tool`, perhaps `async`: called with the inputs that it has parameters for. It returns its
      answer, or None where the question is not its business; or a mapping (a prediction) of output fields, in which
      `confidence` says how sure it is, else 1. It is called in place, also by `estimate`: let one that takes long be
      `async`. `"calculator"` is `rtk.answers.calculate`;
    * a signature, asked at once (`dspy.Predict`), or any `dspy.Module`: a chain, a vote, a tree, a larger model. It is
      as sure as the `confidence` of its prediction says, a vote's share or an output field. A retriever of your own is
      one that returns `passages`, as DSPy's do (texts, or `rtk.retrieval.Passage`s), perhaps with an answer.

    A level is not asked where an earlier one is accepted. Levels that want the same samples share them, and they cost
    once. A level without an answer, one that says in so many words that it does not know (where the answer is any
    text), a tool or a retriever that fails, and a model none of whose replies came, pass the question on, and the route
    says why; what is the caller's mistake, such as a wrong key or an address where no server listens, is raised.

    A level whose signature has an input `context`, which is not among the call's, is shown the passages of the
    retrieval levels before it, numbered `[1] …`; numbers that its answer or its reasoning cites are its `sources`.
    An input of the type `dspy.History` goes to the levels that have it, an empty one where the call has none, and
    retrieval follows it.

    The fields are those of `signature`: what a level does not give is None. `pred.route` tells what each level
    answered, how sure it was, what was needed, what it cost and how long it took. Where nothing is handed over the last
    level is given whatever it says; if it says nothing, the answer nearest to its threshold, the later one of equals.
    With `hand_over=True` it needs its threshold too; else every field is None and `pred.hand_over` is a message for
    the person who takes over, with all of that and the nearest passages. A budget that ends leaves the best answer
    so far, or hands over; a vote that it cut short is as sure as the low end of its interval.

    Args:
        levels: by name, in order; or a list, which is named by kind. A level is an attribute of the cascade.
        signature: whose outputs the cascade answers with; by default those of the last level that has any, less its
            reasoning, else `question -> answer`.
        accept: the confidence from which on an answer is given: a number for all levels, or by level a number, True
            (whatever its confidence) or False (never: it is not asked, but searched for passages). None, and levels
            left out, are 0.5, of an `rtk.Retriever` 0.4, and an answer without a confidence is accepted from the last
            level only. `calibrate` learns them.
        confidence: by level, what measures it in place of the level itself: `"logprob"`, how probable the answer's
            tokens were (their geometric mean; it asks for log-probabilities); a function `(inputs, prediction) ->
            float`; a judge, whose last output counts; or an `rtk.Endpoint`. None of them is shown a gold answer.
        hand_over: whether an answer that is not sure enough goes to a person.

    Raises:
        StrategyError: for what is no level, a name that cannot be one, or a setting that cannot be; when called, for a
            call without the question that a retrieval level needs.
    """

    accept: Any = Setting()
    hand_over = Setting(False)

    def __init__(
        self,
        levels: Mapping[str, Any] | Sequence[Any],
        *,
        signature: Any = None,
        accept: float | Mapping[str, float | bool] | None = None,
        confidence: Mapping[str, Any] | None = None,
        hand_over: bool = False,
    ) -> None:
        super().__init__()
        made = _named(levels)
        self.names = tuple(made)
        self.functions = {name: one for name, one in made.items() if isinstance(one, Function)}
        for name, one in made.items():
            self._check_name(name)
            if not isinstance(one, Function):
                setattr(self, name, one)
        self.signature = _signature(made) if signature is None else without_reasoning(question(signature))
        self.accept, self.hand_over = dict(accept) if isinstance(accept, Mapping) else accept, hand_over
        check_confidences(confidence or {}, made)
        self.judges: dict[str, Any] = {}
        self.verifiers: list[Any] = []
        self.by_logprob, self._places = [name for name, one in (confidence or {}).items() if one == LOGPROB], {}
        for name, one in (confidence or {}).items():
            self._measure_with(name, one)
        self._everything = False
        self.check_settings()
        self._check_functions()

    def _check_name(self, name: Any) -> None:
        if not isinstance(name, str) or not name.isidentifier() or name.startswith("_") or hasattr(self, name):
            raise StrategyError(
                f"a level cannot be called {name!r:.60}",
                mend='letters, digits and _, such as "deep", and no name of the cascade\'s own',
            )

    def _measure_with(self, name: str, one: Any) -> None:
        if isinstance(one, dspy.Module):
            self.judges[name] = submodule(one)
        elif one != LOGPROB:
            self._places[name] = len(self.verifiers)
            self.verifiers.append(uncopied(one))

    def _check_functions(self) -> None:
        """Refuse a function that needs what is no input, before it fails on every question."""
        inputs = {*self.signature.input_fields, CONTEXT}
        for name, function in self.functions.items():
            missing = sorted(function.needs - inputs)
            if missing:
                asked = self.signature.signature
                raise StrategyError(
                    f"the function {name} needs {', '.join(missing)}, which is no input of {asked!r}",
                    mend="name its parameters as the inputs are named, or pass signature=",
                )

    def check_settings(self) -> None:
        """Refuse settings that cannot be."""
        check_accept(self.accept, self.names)
        if not isinstance(self.hand_over, bool):
            raise StrategyError(f"hand_over={self.hand_over!r:.60}", mend="True or False")

    @property
    def levels(self) -> dict[str, Any]:
        """The levels by name, in order."""
        return {name: self.functions.get(name) or getattr(self, name) for name in self.names}

    def __repr__(self) -> str:
        """The levels in order, with their kinds, and the settings that are set."""
        levels = [f"{name}={said(one)}" for name, one in self.levels.items()]
        settings = [f"{name}={shown(value)}" for name, value in self.settings.values.items() if value]
        return f"{type(self).__name__}({', '.join([*levels, *settings])})"

    def asks_once(self) -> bool:
        """Whether all that is asked is known before anything comes."""
        asking = [one for one in self.levels.values() if not isinstance(one, Function | Retriever)]
        return not asking

    # --- the flow ---

    def flow(self, **inputs: Any) -> Flow:
        """Level after level, until an answer is sure enough or a budget ends."""
        trail = Trail(self.levels, self.signature, inputs)
        for name, level in self.levels.items():
            gate = self._gate(name)
            if gate.skips and not self._everything and not looks_up(level):
                trail.skipped(name, level)
                continue
            if trail.found:
                yield partial(self._outcome_of, trail)  # the best so far
            yield from self._try(trail, name, level, gate)
            if trail.ended or (trail.route[-1].accepted and not self._everything):
                break
        if not self.hand_over and not self._everything:
            trail.refuse_silence()
        return self._outcome_of(trail)

    def _gate(self, name: str) -> Gate:
        """What a level's answer needs to be given."""
        said = self.accept.get(name) if isinstance(self.accept, Mapping) else self.accept
        last, looks_up = name == self.names[-1], isinstance(self.levels[name], Retriever)
        if last and not self.hand_over:
            return Gate(True, last, final=True)
        return Gate((LOOKED_UP if looks_up else DEFAULT) if said is None else said, last, said is None)

    def _try(self, trail: Trail, name: str, level: AnyLevel, gate: Gate) -> Flow:
        """Ask one level, and note on the trail what it came to."""
        trail.begin()
        try:
            found = yield from self._ask(trail, name, level)
        except BudgetSpent as cut:
            found = Found(cut=cut)
        trail.note(name, level, found, gate)
        measure = self._measures.get(name)
        if measure is None or trail.route[-1].answer is None or found.cut is not None:
            return
        found.confidence = None
        trail.note(name, level, found, gate)
        yield partial(self._outcome_of, trail)  # with this answer, should a budget end in the judging of it
        yield from self._measure(trail, name, level, found, measure)
        trail.note(name, level, found, gate)

    def _ask(self, trail: Trail, name: str, level: AnyLevel) -> Flow:
        outputs = list(self.signature.output_fields)
        if isinstance(level, Retriever):
            return searched(level, trail.text, trail.history, outputs[-1])
        if isinstance(level, Function):
            text = trail.text if level.reads else ""
            return (yield from called(level, text, trail.given_to(level), outputs))
        config = {"logprobs": True} if self._measures.get(name) == LOGPROB else {}
        return (yield from run(level, trail.given_to(level), config, outputs))

    def _measure(self, trail: Trail, name: str, level: AnyLevel, found: Found, measure: Any) -> Flow:
        """How sure of its answer a level is, by what measures that."""
        program: dspy.Module = self
        one, given = found.candidate, trail.inputs
        if one is None or isinstance(level, Function):  # what no module said is judged by the cascade's own inputs
            one = Candidate(0, dspy.Prediction(**found.fields))
        else:
            program, given = level, trail.given_to(level)
        try:
            said = yield from measured(measure, program, given, one)
        except BudgetSpent as cut:
            found.cut = cut
            return
        found.confidence, trail.verdicts[name] = said.amount, said

    @property
    def _measures(self) -> dict[str, Any]:
        """By level, what measures its confidence."""
        functions = {name: self.verifiers[place] for name, place in self._places.items()}
        return {**functions, **self.judges, **dict.fromkeys(self.by_logprob, LOGPROB)}

    # --- learning ---

    def calibrate(
        self,
        questions: Any,
        *,
        metric: Metric | None = None,
        within: float = 0.01,
        wrong_accepts: float | None = None,
        cost: Literal["tokens", "samples", "calls", "dollars", "seconds"] = "tokens",
        budget: Budget | None = None,
        folds: int = 5,
        seed: int = 0,
        progress: Progress = "auto",
    ) -> Calibrated:
        """Learn `accept=` from questions with answers; the cascade has it from then on.

        Every level is tried on every question, with the samples that calls have later. Then thresholds are chosen that
        cost least and keep the accuracy of the last level for every question, less `within`; or, with `wrong_accepts=`,
        that answer the most questions right (within `within`) at least cost, while at most so many questions get a
        wrong answer. Both are judged on questions that the thresholds were not learned from (cross-validation); the
        latter by the exact binomial test at 90 % confidence, the strictest thresholds first, until the first that fail
        (Learn then Test, arXiv:2110.01052). Where nothing passes, the last level answers every question; with
        `wrong_accepts=` every question is handed over; `why` says so. What is promised is promised of questions like
        these. How strict thresholds are is chosen by the same cross-validation, which flatters a little: in simulations
        by 4 points of accuracy at 20 questions, by 1 at 60.

        A level whose confidence tells right from wrong no better than chance (`rtk.statistics.auroc`, p ≥ 0.05) has no
        threshold: each of its answers is given, or none, and `why` says so. Retrieval that is sure and wrong comes out
        so. One that was never wrong is given from the least confidence on that it had.

        Args:
            questions: a task, of which its dev questions are meant, or a list of `dspy.Example`s.
            metric: `(example, prediction) -> score` from 0 to 1; a task's own, else equality with the example's field.
                It is asked about no answer too: for a question that has none it may be right.
            within: how much accuracy may be lost, as a share: 0.01 is one point.
            wrong_accepts: the share of all questions that may get a wrong answer (a score below one half); it needs
                `hand_over=True`.
            cost: what is to be saved; seconds are those of the levels, one after the other.
            budget: over all questions; where it ends, it is learned from those that were answered whole.
            folds: parts of the questions, each answered with what was learned from the others.
            seed: of the parts.
            progress: a bar, by default; None for none, or a function that is called after each question.

        Raises:
            StrategyError: for no questions, a setting that cannot be, a metric that fails on no answer, or a budget
                that ends before one question.
            TaskError: for a metric that gives no score.
        """
        examples, wanted = self._learning(questions, metric, within, wrong_accepts, cost, folds, seed)
        return self._learned(tried(self._trying(), examples, budget=budget, progress=progress), wanted)

    async def acalibrate(
        self,
        questions: Any,
        *,
        metric: Metric | None = None,
        within: float = 0.01,
        wrong_accepts: float | None = None,
        cost: Literal["tokens", "samples", "calls", "dollars", "seconds"] = "tokens",
        budget: Budget | None = None,
        folds: int = 5,
        seed: int = 0,
        progress: Progress = "auto",
    ) -> Calibrated:
        """As `calibrate`, on the running event loop."""
        examples, wanted = self._learning(questions, metric, within, wrong_accepts, cost, folds, seed)
        return self._learned(await atried(self._trying(), examples, budget=budget, progress=progress), wanted)

    def _learning(self, questions: Any, metric: Any, *settings: Any) -> tuple[list[dspy.Example], Learning]:
        examples, wanted = examples_of(questions), metric_of(questions, metric)
        found = learning(wanted, *settings, hand_over=self.hand_over)
        check_metric(wanted, examples[0], self._nothing())
        return examples, found

    def _trying(self) -> Cascade:
        """A cascade of the same levels, all of which it tries."""
        made = copy.copy(self)
        made._everything = True
        return made

    def _learned(self, trials: Trials, wanted: Learning) -> Calibrated:
        looked_up = tuple(looks_up(one) for one in self.levels.values())
        table = table_of(trials, list(self.signature.output_fields), wanted, looked_up, self.hand_over)
        found = calibrated(table, wanted, trials.stopped)
        self.accept = dict(found.learned["accept"])
        return found

    # --- what it comes to ---

    def _outcome_of(self, trail: Trail) -> Outcome:
        """What the levels so far come to."""
        given = trail.given(self.hand_over)
        route, names = accepted_as(trail.route, given), list(self.signature.output_fields)
        if self._everything:
            return Outcome(dspy.Prediction(levels=len(route)), about={"route": Route(trail.route)})
        handed = given is None and self.hand_over
        found = trail.found[given.name] if given is not None else None
        prediction = _fields(names, given)
        others = [_fields(names, one) for one in route if one.answered and not one.accepted]
        return Outcome(
            prediction,
            used=self._used(trail, given),
            completions=[prediction, *others],
            deliberation=trail.told(route, given, handed),
            confidence=found.confidence if found is not None else None,
            vote=_vote(found),
            about={"route": route, "hand_over": self._message(trail, route) if handed else None},
        )

    def _used(self, trail: Trail, given: Level | None) -> list[Candidate]:
        """What the answer rests on: the accepted level's candidate, and what a judge said of it."""
        found = trail.found[given.name].candidate if given is not None else None
        said = trail.verdicts.get(given.name) if given is not None else None
        return [*([] if found is None else [found]), *(said.judged_by if said is not None else [])]

    def _message(self, trail: Trail, route: Route) -> HandOver:
        met = {one.name for one in route}
        untried = [name for name in self.names if name not in met]
        return handed_over(trail.question, trail.inputs, route, untried, trail.history, trail.asked_by)

    def answered(self, prediction: Any) -> bool:
        """Whether a prediction says anything; a question that is handed over is seen to."""
        return self.hand_over or super().answered(prediction)

    def _nothing(self) -> dspy.Prediction:
        """No answer, in the fields of the cascade."""
        return _fields(list(self.signature.output_fields), None)


def _fields(names: Sequence[str], level: Level | None) -> dspy.Prediction:
    """A level's answer in the fields of the cascade."""
    return dspy.Prediction(**{name: level.fields.get(name) if level is not None else None for name in names})


def _vote(found: Found | None) -> Any:
    one = found.candidate if found is not None else None
    return evidence(one.prediction, "vote") if one is not None and one.prediction is not None else None


def _named(levels: Any) -> dict[str, AnyLevel]:
    """Levels by name; those of a list are named by kind, the second of one kind with a number.

    Raises:
        StrategyError: for none, or what is none.
    """
    if isinstance(levels, Mapping):
        made = {name: level_of(one) for name, one in levels.items()}
    elif isinstance(levels, Sequence) and not isinstance(levels, str):
        made = dict[str, AnyLevel]()
        for one in map(level_of, levels):
            name, number = name_of(one), 2
            while name in made:
                name, number = f"{name_of(one)}_{number}", number + 1
            made[name] = one
    else:
        made = {}
    if not made:
        raise StrategyError(
            f"Cascade({levels!r:.60}): no levels",
            mend='rtk.Cascade({"faq": retriever, "deep": rtk.SelfConsistency(…)})',
        )
    return made


def _signature(levels: Mapping[str, AnyLevel]) -> Any:
    """The signature that the last level with predictors answers, less its reasoning and the passages it is shown."""
    modules = [one for one in levels.values() if isinstance(one, dspy.Module) and predictors_of(one)]
    if not modules:
        return question(QUESTION)
    found = signature_of(modules[-1])
    retrieves = any(looks_up(one) for one in levels.values())
    found = found.delete(CONTEXT) if retrieves and CONTEXT in found.input_fields else found
    inputs = set(found.input_fields)
    for one in modules[:-1]:  # a conversation, or a product's name, that only an earlier level looks at
        for name, field in signature_of(one).input_fields.items():
            if name not in inputs and name not in found.fields and name != CONTEXT:
                found = found.append(
                    name, dspy.InputField(desc=field.json_schema_extra.get("desc", "")), field.annotation
                )
    return found
