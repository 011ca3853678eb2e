"""Tree of thoughts: propose next steps, evaluate them, search (Yao et al., 2023, arXiv:2305.10601)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import dspy
from dspy.signatures.signature import ensure_signature, make_signature

from rtk.answers import Check, Checker
from rtk.deliberation import Step
from rtk.errors import BudgetSpent, RTKError, StrategyError
from rtk.strategies.flow import Candidate, Candidates, Flow, Outcome, ask
from rtk.strategies.settings import Setting, check_whole
from rtk.strategies.strategy import Strategy, submodule

Depth = int | Callable[[Mapping[str, Any]], int]
SCORES = {"sure": 1.0, "maybe": 0.5, "impossible": 0.0}


@dataclass(eq=False)
class Thought:
    """One node of the tree.

    Attributes:
        text: the partial solution up to and including this thought.
        step: its place in the deliberation.
        path: the candidates it rests on, from the root.
        score: how promising it is, in [0, 1].
        level: thoughts so far.
        parent: the thought it goes on from; None for the root.
    """

    text: str
    step: Step
    path: tuple[Candidate, ...] = ()
    score: float = 1.0
    level: int = 0
    parent: Thought | None = None

    @property
    def line(self) -> list[Thought]:
        """The thoughts from the root to this one."""
        return [*(self.parent.line if self.parent is not None else []), self]


@dataclass(eq=False)
class Search:
    """One search under way.

    Attributes:
        inputs: the question's.
        depth: thoughts of a whole solution.
        root: where it began.
        best: the best thought so far.
        cut: whether a budget cut an ask short. Nothing more is asked then, so that a run under a budget consults
            nothing that the whole run does not.
    """

    inputs: dict[str, Any]
    depth: int
    root: Thought
    best: Thought
    cut: bool = False

    def hear(self, asked: list[Candidates]) -> list[Candidates]:
        """Note whether what came back was cut."""
        self.cut = self.cut or any(got.cut is not None for got in asked)
        return asked


class TreeOfThoughts(Strategy):
    """Search over partial solutions: each is asked for next thoughts, they are checked and valued, the best go on.

    `propose` sees the inputs and the `partial` solution so far, and writes a `thought`; `value` sees the same and
    judges it `sure`, `maybe` or `impossible`. Where there is a checker, thoughts it refuses are pruned before they
    are valued. Thoughts that say the same are merged, and how often one was proposed breaks ties.

    * `search="bfs"`: level by level, the best `breadth` go on (a beam).
    * `search="dfs"`: the best child first, backtracking from dead ends, at most `breadth` children of each; the first
      whole solution that the checker accepts ends the search.

    Where no thought stands, nothing is answered: every field is None. A budget that ends during the search leaves the
    best thought found as the answer.

    Args:
        signature: a DSPy signature, or its text.
        breadth: how many partial solutions go on (bfs), or how many children are tried (dfs).
        branching: proposals asked for each partial solution.
        depth: thoughts of a whole solution; a number, or a function of the inputs such as `task.depth`.
        search: `"bfs"` or `"dfs"`.
        check: `(inputs, partial or whole candidate) -> Check`, such as `task.check`; it never sees the gold answer.
        values: value prompts for each thought; 0 asks none and ranks by how often a thought was proposed.
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
    separator = Setting()

    def __init__(
        self,
        signature: Any,
        breadth: int = 2,
        branching: int = 3,
        depth: Depth = 3,
        search: Literal["bfs", "dfs"] = "bfs",
        *,
        check: Checker | None = None,
        values: int = 1,
        separator: str | None = None,
        propose: dspy.Module | None = None,
        proposers: int = 1,
    ) -> None:
        super().__init__()
        for name, number, least in (("breadth", breadth, 1), ("branching", branching, 1), ("values", values, 0),
                                    ("proposers", proposers, 1)):  # fmt: skip
            check_whole(name, number, least)
        if not callable(depth):
            check_whole("depth", depth, 1)
        if search not in ("bfs", "dfs"):
            raise StrategyError(f"search={search!r}", mend='"bfs" or "dfs"')
        self.breadth, self.branching, self.depth, self.search = breadth, branching, depth, search
        self.values, self.separator, self.check = values, separator, check
        whole: Any = ensure_signature(signature)
        self._outputs = list(whole.output_fields)
        if separator is not None and len(self._outputs) != 1:
            raise StrategyError("separator= needs a signature with one output", mend="leave it out")
        own = [dspy.ChainOfThought(_proposal(whole)) for _ in range(proposers)]
        self.propose: Any = submodule(propose) if propose is not None else own if proposers > 1 else own[0]
        if values:
            self.value = dspy.ChainOfThought(_valuation(whole))
        if separator is None:
            self.answer = dspy.ChainOfThought(_conclusion(whole))

    def flow(self, **inputs: Any) -> Flow:
        """Search, then answer from the best branch."""
        depth: Any = self.depth(inputs) if callable(self.depth) else self.depth
        check_whole("depth", depth, 1)
        root = Thought("", Step("route", "", label=f"{self.search}, depth {depth}", state="chosen"))
        search = Search(inputs, depth, root, best=root)
        try:
            yield from (self._beam if self.search == "bfs" else self._first)(search)
        except BudgetSpent:  # the prediction says so
            return self._arrived(search)
        if search.cut or self.separator is not None or search.best is root:
            return self._arrived(search)
        return (yield from self._answered(search))

    # --- search ---

    def _beam(self, search: Search) -> Flow:
        """Level by level; the best of the deepest level that holds any."""
        frontier = [search.root]
        while frontier and frontier[0].level < search.depth and not search.cut:
            asked = search.hear((yield [self._proposals(search.inputs, thought) for thought in frontier]))
            pairs = zip(frontier, asked, strict=True)
            children = [child for thought, got in pairs for child in self._grown(search.inputs, thought, got)]
            frontier = (yield from self._ranked(search, children))[: self.breadth]
            for child in frontier:
                child.step.state = "kept"
            search.best = frontier[0] if frontier else search.best

    def _first(self, search: Search) -> Flow:
        """Depth first, with backtracking; the deepest thought reached where nothing whole is accepted."""
        stack = [search.root]
        while stack:
            thought = stack.pop()
            if thought.level > search.best.level:
                search.best = thought
            if thought.level == search.depth or search.cut:
                return
            thought.step.state = "kept"
            asked = search.hear((yield [self._proposals(search.inputs, thought)]))
            alive = yield from self._ranked(search, self._grown(search.inputs, thought, asked[0]))
            stack += reversed(alive[: self.breadth])
            if not alive:
                _backtrack(thought, stack)

    def _proposals(self, inputs: dict[str, Any], thought: Thought) -> Any:
        several = isinstance(self.propose, list)
        proposer = self.propose[min(thought.level, len(self.propose) - 1)] if several else self.propose
        return ask(proposer, {**inputs, "partial": thought.text}, samples=self.branching, rollout=0)

    def _grown(self, inputs: dict[str, Any], parent: Thought, proposals: Candidates) -> list[Thought]:
        """The thoughts that proposals make of a partial solution, checked."""
        grown = []
        for candidate in proposals:
            text = _thought(candidate)
            if not text:
                reason = candidate.abstention.kind if candidate.abstention else "empty"
                parent.step.children.append(_step(candidate, "", "dead end", reason))
                continue
            partial = text if not parent.text else f"{parent.text}{self._between}{text}"
            verdict = self._checked(inputs, partial)
            step = _step(candidate, text, "open" if verdict else "pruned", verdict.reason)
            parent.step.children.append(step)
            grown.append(Thought(partial, step, (*parent.path, candidate), level=parent.level + 1, parent=parent))
        return grown

    @property
    def _between(self) -> str:
        return "\n" if self.separator is None else self.separator

    def _checked(self, inputs: dict[str, Any], partial: str) -> Check:
        """The checker's verdict; a plain True, False or None is one too."""
        if self.check is None:
            return Check(None)
        try:
            verdict = self.check(inputs, partial)
        except RTKError:
            raise
        except Exception as error:
            raise StrategyError(
                f"the checker raised {type(error).__name__} on {partial!r:.60}: {error}",
                mend="a checker takes (inputs, candidate), whatever the candidate, and returns an rtk.answers.Check",
            ) from error
        if isinstance(verdict, (bool, type(None))):
            return Check(verdict)
        if not isinstance(verdict, Check):
            raise StrategyError(f"the checker returned {verdict!r:.60}", mend="return an rtk.answers.Check")
        return verdict

    def _ranked(self, search: Search, children: list[Thought]) -> Flow:
        """Those that stand, merged and valued, the best first, the earliest first among equals."""
        alive = [child for child in _merged(children) if child.step.state == "open"]
        if self.values and alive:
            inputs = [{**search.inputs, "partial": one.text} for one in alive]
            asked = search.hear((yield [ask(self.value, one, samples=self.values) for one in inputs]))
            for child, got in zip(alive, asked, strict=True):
                child.score = _merit(got)
                child.step.state = "open" if child.score > 0 else "pruned"
        for child in alive:
            child.step.score = child.score
        return sorted((child for child in alive if child.step.state == "open"), key=lambda one: -one.score)

    # --- answers ---

    def _arrived(self, search: Search) -> Outcome:
        """The best thought as the answer; none where there is none."""
        root, best = search.root, search.best
        for thought in best.line:
            thought.step.state = "chosen"
        if best is root:
            root.step.state, root.step.reason = "dead end", "no thought was found"
        fields = {**dict.fromkeys(self._outputs), self._outputs[-1]: best.text or None}
        return Outcome(dspy.Prediction(**fields), used=list(best.path), deliberation=root.step)

    def _answered(self, search: Search) -> Flow:
        """Ask for the answer that the best branch leads to."""
        root, best = search.root, search.best
        yield self._arrived(search)  # should a budget end here
        final = (yield ask(self.answer, {**search.inputs, "thoughts": best.text}))[0]
        answer = "" if final.prediction is None else str(final.answer(self._outputs[-1]))
        reason = "answer" if final.abstention is None else final.abstention.kind
        best.step.children.append(_step(final, answer, "chosen" if answer else "dead end", reason))
        if final.prediction is None:
            return Outcome(self._nothing(), deliberation=root.step)
        return Outcome(final.prediction, used=[*best.path, final], deliberation=root.step)

    def _nothing(self) -> dspy.Prediction:
        """No answer, in the fields of the signature."""
        return dspy.Prediction(**dict.fromkeys(self._outputs))


def _thought(candidate: Candidate) -> str:
    """What was proposed, on one piece of text; empty where nothing was."""
    if candidate.prediction is None:
        return ""
    if "thought" not in candidate.prediction:
        raise StrategyError("`propose` gave no field `thought`", mend="give its signature the output field thought")
    found = candidate.prediction["thought"]
    return "" if found is None else str(found).strip()


def _backtrack(thought: Thought, stack: list[Thought]) -> None:
    """Nothing follows from a thought: back to the last one of its line that has children left to try."""
    waiting = {id(one.parent) for one in stack}
    for one in reversed(thought.line):
        if id(one) in waiting or one.parent is None:
            return
        one.step.state = "backtracked"


def _proposal(whole: Any) -> Any:
    asked = " ".join(whole.instructions.split())
    return _ahead(
        whole,
        f"{asked}\nThe solution is found one step at a time. Given what is found so far, write the next step only.",
        partial=("str", dspy.InputField(desc="the solution so far; empty at the start")),
        thought=("str", dspy.OutputField(desc="the next step only")),
    )


def _valuation(whole: Any) -> Any:
    asked = " ".join(whole.instructions.split())
    return _ahead(
        whole,
        f"{asked}\nJudge whether the partial solution can still become a right and whole one.",
        partial=("str", dspy.InputField(desc="the solution so far")),
        verdict=(Literal["sure", "maybe", "impossible"], dspy.OutputField()),
    )


def _ahead(whole: Any, instructions: str, **fields: tuple[Any, Any]) -> Any:
    """A signature with a whole one's inputs, and these further fields in place of its outputs."""
    inputs = {name: (one.annotation, one) for name, one in whole.input_fields.items()}
    typed = {name: (str if kind == "str" else kind, one) for name, (kind, one) in fields.items()}
    return make_signature({**inputs, **typed}, instructions)


def _conclusion(whole: Any) -> Any:
    return whole.append("thoughts", dspy.InputField(desc="steps found so far"), str)


def _step(candidate: Candidate, text: str, state: Any, reason: str) -> Step:
    return Step("thought", text, state=state, tokens=candidate.tokens, address=candidate.address, reason=reason)


def _merged(children: list[Thought]) -> list[Thought]:
    """One thought for all that say the same; its score is its share of the proposals."""
    kept: dict[str, Thought] = {}
    counts: dict[str, int] = {}
    for child in children:
        key = " ".join(child.text.split()).casefold()
        counts[key] = counts.get(key, 0) + 1
        if key in kept and child.step.state == "open":
            child.step.state, child.step.reason = "pruned", "the same as one before"
        kept.setdefault(key, child)
    for key, child in kept.items():
        child.score = counts[key] / len(children)
    return list(kept.values())


def _merit(verdicts: Candidates) -> float:
    """The mean of the verdicts that came; 0.5 without any."""
    found = [SCORES.get(str(one.answer("verdict")), 0.5) for one in verdicts if one.abstention is None]
    return sum(found) / len(found) if found else 0.5
