"""Tree of thoughts: propose next steps, evaluate them, search (Yao et al., 2023, arXiv:2305.10601)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Literal

import dspy

from rtk.answers import Check, Checker
from rtk.deliberation import Step
from rtk.errors import BudgetSpent, StrategyError
from rtk.strategies import tree_prompts as prompts
from rtk.strategies.flow import Candidate, Candidates, Flow, ask
from rtk.strategies.inputs import Inputs, refuse_metric
from rtk.strategies.questions import question, signature_of, takes
from rtk.strategies.sampling import predictor_of
from rtk.strategies.settings import Setting, check_whole
from rtk.strategies.strategy import Strategy, submodule
from rtk.strategies.tree_answers import concluded
from rtk.strategies.tree_scores import Evaluation
from rtk.strategies.tree_searches import SEARCHES
from rtk.strategies.tree_thoughts import Search, Thought, words

Depth = int | Callable[[Mapping[str, Any]], int]
Scorer = Callable[[Inputs, str], "float | Check | None"]
ANSWERS = ("deepest", "best", "consistent")


class TreeOfThoughts(Strategy):
    """Search over partial solutions: each is asked for next thoughts, they are checked and evaluated, the best go on.

    `propose` sees the inputs and the `partial` solution so far, and writes a `thought`; `value` sees the same and
    judges it `sure`, `likely` or `impossible`. Where there is a checker, thoughts it refuses are pruned before they
    are evaluated. A thought is evaluated as soon as it came, whatever the others do. Those that reach the same state
    are merged, and how often one was proposed breaks ties.

    * `search="bfs"`: level by level, the best `breadth` go on (a beam).
    * `search="dfs"`: the best child first, backtracking from dead ends, at most `breadth` children of each; the first
      whole solution that the checker accepts ends the search.
    * `search="best_first"`: the best thoughts found so far go on, on whatever level, `breadth` side by side.
    * `search="particle"`: `breadth` partial solutions take a step each and are resampled by their scores.

    A value of impossible may be wrong: where nothing else is left, what was given up for it alone is gone on from (by
    bfs on its own level), and particles only make its odds small. A `threshold` above 0 makes it final. `steps` are
    shared out so that a solution becomes whole within them where it can.

    Where no thought stands, nothing is answered: every field is None. A budget that ends during the search leaves the
    best thought found as the answer.

    Open-ended work needs no gold answer: `evaluate="vote"` compares siblings, `distinct=True` gives up ideas that
    are too like another one, and `top=k` returns the k best as `pred.completions`.

    Args:
        signature: a DSPy signature, or its text. Or a module that answers it: a `dspy.Predict` or `dspy.ChainOfThought`
            then is the `answer` predictor. Of any other module the runs are the thoughts themselves; where it has no
            input `partial`, a solution is one thought deep.
        breadth: how many partial solutions go on (bfs, best_first, particle), or how many children are tried (dfs).
        branching: proposals asked for each partial solution; particles take one each.
        depth: thoughts of a whole solution; a number, or a function of the inputs such as `task.depth`.
        search: see above.
        check: `(inputs, partial or whole candidate) -> Check`, such as `task.check`; it never sees the gold answer.
        values: how often each thought is valued, or how many votes are cast; 0 asks nothing: thoughts are ranked by the
            score that the checker gives, else by how often they were proposed.
        evaluate: `"value"` each thought by itself; `"vote"` among those of a level; or a scorer: a function
            `(inputs, partial) -> float`, a judge module (asked with `partial`), or an `rtk.Endpoint`.
        proposals: `"independent"` samples, or one `"list"` of several thoughts: fewer tokens, and no two alike.
        threshold: thoughts that score less are pruned.
        steps: the most thoughts that are gone on from.
        answer: the branch that answers: `"deepest"`, and there the one that scores highest; `"best"`, the whole
            solution that scores highest; `"consistent"`, the answer most branches agree on.
        top: how many answers are returned, the best first.
        distinct: whether a thought that is nearly the same as another one of its level is pruned.
        state: from a partial solution, the state it reached; those that share one are merged. Its words by default.
        separator: where an answer is its thoughts written one after the other, what stands between them (`", "`):
            the last partial solution then is the answer. None asks an `answer` predictor with the thoughts found.
        propose: a module of your own in place of the proposal predictor; it must give a field `thought`.
        proposers: proposal predictors, each with demonstrations of its own: the i-th serves the i-th thought, the last
            one all that follow. A small model copies the kind of step that its demonstrations show.

    Raises:
        StrategyError: for a setting that cannot be; when called, for a checker that fails, a depth below 1, or a
            `propose` without a `thought`.
    """

    breadth = Setting(2)
    branching = Setting(3)
    depth = Setting(3)
    search = Setting("bfs")
    values = Setting(1)
    evaluate = Setting("value")
    proposals = Setting("independent")
    threshold = Setting()
    steps = Setting()
    answered_by = Setting("deepest")
    top = Setting(1)
    distinct = Setting(False)
    separator = Setting()

    def __init__(
        self,
        signature: Any,
        breadth: int = 2,
        branching: int = 3,
        depth: Depth = 3,
        search: Literal["bfs", "dfs", "best_first", "particle"] = "bfs",
        *,
        check: Checker | None = None,
        values: int = 1,
        evaluate: Literal["value", "vote"] | Scorer | dspy.Module = "value",
        proposals: Literal["independent", "list"] = "independent",
        threshold: float | None = None,
        steps: int | None = None,
        answer: Literal["deepest", "best", "consistent"] = "deepest",
        top: int = 1,
        distinct: bool = False,
        state: Callable[[str], Hashable] | None = None,
        separator: str | None = None,
        propose: dspy.Module | None = None,
        proposers: int = 1,
    ) -> None:
        super().__init__()
        check_whole("proposers", proposers)
        if check is not None:
            refuse_metric("check", check)
        self.breadth, self.branching, self.depth, self.search = breadth, branching, depth, search
        self.values, self.separator, self.proposals = values, separator, proposals
        self.threshold, self.steps, self.answered_by, self.top, self.distinct = threshold, steps, answer, top, distinct
        self.check, self.state = check, state or words
        self.check_settings()
        self._build(signature, propose, proposers, evaluate)

    def check_settings(self) -> None:
        """Refuse settings that cannot be."""
        for name, number, least in (("breadth", self.breadth, 1), ("branching", self.branching, 1),
                                    ("values", self.values, 0), ("top", self.top, 1),
                                    ("steps", 1 if self.steps is None else self.steps, 1)):  # fmt: skip
            check_whole(name, number, least)
        if not callable(self.depth):
            check_whole("depth", self.depth, 1)
        _check_one_of("search", self.search, tuple(SEARCHES))
        _check_one_of("proposals", self.proposals, ("independent", "list"))
        _check_one_of("answer", self.answered_by, ANSWERS)
        if self.search == "particle" and self.proposals == "list":
            raise StrategyError("particles take one step each", mend='proposals="independent"')

    def _build(self, signature: Any, propose: dspy.Module | None, proposers: int, evaluate: Any) -> None:
        """The predictors that propose, evaluate and answer, and the fields of the answer."""
        module = submodule(signature) if isinstance(signature, dspy.Module) else None
        flat = predictor_of(module) if module is not None else None
        asked: Any = signature
        self._whole: Any = signature_of(module) if module is not None else question(asked)
        self._outputs = list(self._whole.output_fields)
        prompts.refuse_own_names(self._whole)
        self.runs = module is not None and flat is None
        if self.separator is not None and len(self._outputs) != 1:
            raise StrategyError("separator= needs a signature with one output", mend="leave it out")
        if self.runs and (propose is not None or proposers > 1 or self.proposals == "list"):
            raise StrategyError("the runs of a module are the thoughts", mend="leave out propose=, proposers=, list")
        listed = self.proposals == "list"
        own = [dspy.ChainOfThought(prompts.proposal(self._whole, listed)) for _ in range(proposers)]
        given = module if self.runs else None if propose is None else submodule(propose)
        self.propose: Any = given if given is not None else own if proposers > 1 else own[0]
        self._evaluated(evaluate)
        if self.separator is None and not self.runs:
            self.answer: Any = _answerer(module, flat, self._whole)

    def _evaluated(self, evaluate: Any) -> None:
        """What evaluates thoughts."""
        self.judge: Any = submodule(evaluate) if isinstance(evaluate, dspy.Module) else None
        self.scorer: Any = None
        if self.judge is not None:
            self.evaluate = "judge"
        elif callable(evaluate):
            refuse_metric("evaluate", evaluate)
            self.scorer, self.evaluate = (lambda *seen: evaluate(*seen)), "scorer"  # copies call the same, uncopied
        else:
            _check_one_of("evaluate", evaluate, ("value", "vote"))
            self.evaluate = evaluate
        if self.values and self.evaluate == "value":
            self.value = dspy.ChainOfThought(prompts.valuation(self._whole))
        if self.values and self.evaluate == "vote":
            self.vote = dspy.ChainOfThought(prompts.ballot(self._whole))

    @property
    def wholes(self) -> int:
        """Whole solutions that are enough for the answer."""
        return max(self.top, self.breadth if self.answered_by == "consistent" else 1)

    def flow(self, **inputs: Any) -> Flow:
        """Search, then answer from the best branch."""
        depth: Any = self.depth(inputs) if callable(self.depth) else self.depth
        check_whole("depth", depth, 1)
        if self.runs and depth > 1 and not takes(self.propose, "partial"):
            depth = 1
        root = Thought("", Step("route", "", label=f"{self.search}, depth {depth}", state="chosen"))
        search = Search(inputs, Inputs.of(self, inputs, self._outputs), depth, root)
        try:
            yield from SEARCHES[self.search](self, search)
        except BudgetSpent:  # the prediction says so
            search.cut = True
        return (yield from concluded(self, search))

    # --- what a search asks for ---

    def grown(
        self, search: Search, thoughts: Sequence[Thought], samples: Sequence[int] | None = None, *, merged: bool = True
    ) -> Flow:
        """Ask for thoughts that go on from these; the new ones that stand, evaluated, the best first.

        Unless `merged`, one for each sample, in order.
        """
        evaluation = Evaluation(self, search)
        counts = samples or [self.branching] * len(thoughts)
        search.expansions += len(thoughts)
        asked = search.hear((yield [self._proposals(evaluation, *pair) for pair in zip(thoughts, counts, strict=True)]))
        children = [child for thought, got in zip(thoughts, asked, strict=True) for child in _taken(thought, got)]
        kept = search.merge(children, self.state, self.distinct) if merged else children
        return (yield from evaluation.ranked(kept, in_order=not merged))

    def _proposals(self, evaluation: Evaluation, thought: Thought, samples: int) -> Any:
        """One ask for the thoughts that go on from one; each is read, checked and valued as soon as it came."""
        several, search = isinstance(self.propose, list), evaluation.search
        proposer = self.propose[min(thought.level, len(self.propose) - 1)] if several else self.propose
        inputs, listed = dict(search.inputs), self.proposals == "list"
        if not self.runs or takes(self.propose, "partial"):
            inputs["partial"] = thought.text
        if listed:
            inputs["branching"] = self.branching
        return ask(
            proposer, inputs, samples=1 if listed else samples, rollout=0,
            each=lambda candidate: self._read(evaluation, thought, candidate),
        )  # fmt: skip

    def _read(self, evaluation: Evaluation, parent: Thought, candidate: Candidate) -> Flow:
        """The thoughts that a candidate holds, checked, and valued where that needs no others."""
        children = []
        for place, text in enumerate(self._texts(candidate)):
            partial = text if not parent.text else f"{parent.text}{self._between}{text}"
            tokens = candidate.tokens if place == 0 else 0
            step = Step("thought", text, state="open", tokens=tokens, address=candidate.address)
            if candidate.deliberation is not None:
                step.children.append(candidate.deliberation)
            child = Thought(partial, step, candidate, level=parent.level + 1, parent=parent)
            evaluation.check(child)
            children.append(child)
        yield from evaluation.early(children)
        return children

    def _texts(self, candidate: Candidate) -> list[str]:
        """What was proposed."""
        if candidate.prediction is None:
            return []
        name = self._outputs[-1] if self.runs else "thoughts" if self.proposals == "list" else "thought"
        if self.runs and name not in candidate.prediction:
            name = list(candidate.prediction.keys())[-1]
        if name not in candidate.prediction:
            raise StrategyError(f"`propose` gave no field `{name}`", mend=f"give its signature the output field {name}")
        found = candidate.prediction[name]
        several = found[: self.branching] if isinstance(found, list) else [found]
        return [str(one).strip() for one in several if one is not None and str(one).strip()]

    @property
    def _between(self) -> str:
        return "\n" if self.separator is None else self.separator

    def _nothing(self) -> dspy.Prediction:
        """No answer, in the fields of the signature."""
        return dspy.Prediction(**dict.fromkeys(self._outputs))


def _taken(parent: Thought, got: Candidates) -> list[Thought]:
    """The thoughts of an ask, noted under the one that they go on from, and those candidates that held none."""
    children = []
    for candidate in got:
        found: list[Thought] = candidate.made or []
        if not found:
            reason = candidate.abstention.kind if candidate.abstention else "empty"
            parent.step.children.append(Step("thought", "", state="dead end", tokens=candidate.tokens,
                                             address=candidate.address, reason=reason))  # fmt: skip
        parent.step.children += [child.step for child in found]
        children += found
    return children


def _answerer(module: Any, flat: Any, whole: Any) -> Any:
    """The predictor that answers with the thoughts of a branch: the user's own, where there is one, with that field."""
    if flat is None:
        return dspy.ChainOfThought(prompts.conclusion(whole))
    flat.signature = prompts.conclusion(flat.signature)
    return module


def _check_one_of(name: str, value: Any, known: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in known:
        raise StrategyError(f"{name}={value!r}", mend=f"one of {', '.join(known)}")
