"""Tree of thoughts: propose next steps, evaluate them, search (Yao et al., 2023, arXiv:2305.10601)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import dspy
from dspy.signatures.signature import ensure_signature

from rtk.answers import Check, Checker
from rtk.deliberation import Step
from rtk.errors import StrategyError
from rtk.strategies.flow import Candidate, Candidates, Flow, Outcome, ask
from rtk.strategies.settings import Setting
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
    """

    text: str
    step: Step
    path: tuple[Candidate, ...] = ()
    score: float = 1.0
    level: int = 0


class TreeOfThoughts(Strategy):
    """Search over partial solutions: each is asked for next thoughts, they are checked and valued, the best go on.

    `propose` sees the inputs and the `partial` solution so far, and writes a `thought`; `value` sees the same and
    judges it `sure`, `maybe` or `impossible`. Where there is a checker, thoughts it refuses are pruned before they
    are valued. Thoughts that say the same are merged, and how often one was proposed breaks ties.

    * `search="bfs"`: level by level, the best `breadth` go on (a beam).
    * `search="dfs"`: the best child first, backtracking from dead ends, at most `breadth` children of each; the first
      whole solution that the checker accepts ends the search.

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
    ) -> None:
        super().__init__()
        for name, number, least in (("breadth", breadth, 1), ("branching", branching, 1), ("values", values, 0)):
            if isinstance(number, bool) or not isinstance(number, int) or number < least:
                raise StrategyError(f"{name}={number!r}", mend=f"a whole number from {least} on")
        if search not in ("bfs", "dfs"):
            raise StrategyError(f"search={search!r}", mend='"bfs" or "dfs"')
        self.breadth, self.branching, self.depth, self.search = breadth, branching, depth, search
        self.values, self.separator, self.check = values, separator, check
        whole = ensure_signature(signature)
        self._outputs = list(whole.output_fields)
        if separator is not None and len(self._outputs) != 1:
            raise StrategyError("separator= needs a signature with one output", mend="leave it out")
        self.propose = dspy.ChainOfThought(_proposal(whole)) if propose is None else submodule(propose)
        if values:
            self.value = dspy.ChainOfThought(_valuation(whole))
        if separator is None:
            self.answer = dspy.ChainOfThought(_conclusion(whole))

    def flow(self, **inputs: Any) -> Flow:
        """Search, then answer from the best branch."""
        depth = self.depth(inputs) if callable(self.depth) else self.depth
        root = Thought("", Step("route", "", label=f"{self.search}, depth {depth}", state="chosen"))
        best = yield from (self._beam if self.search == "bfs" else self._first)(inputs, root, depth)
        if self.separator is not None:
            return self._arrived(root, best)
        return (yield from self._answered(inputs, root, best))

    # --- search ---

    def _beam(self, inputs: dict[str, Any], root: Thought, depth: int) -> Flow:
        frontier, best = [root], root
        for _ in range(depth):
            asked = yield [self._proposals(inputs, thought) for thought in frontier]
            children = [
                child
                for thought, got in zip(frontier, asked, strict=True)
                for child in self._grown(inputs, thought, got)
            ]
            children = _merged(children)
            yield from self._valued(inputs, children)
            alive = sorted((child for child in children if child.step.state == "open"), key=lambda one: -one.score)
            frontier = alive[: self.breadth]
            for child in frontier:
                child.step.state = "kept"
            if not frontier:
                break
            best = frontier[0]
            yield self._so_far(root, best)
        return best

    def _first(self, inputs: dict[str, Any], root: Thought, depth: int) -> Flow:
        """Depth first, with backtracking; the deepest thought reached where nothing whole is accepted."""
        stack, best = [root], root
        while stack:
            thought = stack.pop()
            if thought.level > best.level:
                best = thought
                yield self._so_far(root, best)
            if thought.level == depth:
                return thought
            thought.step.state = "kept"
            got = yield self._proposals(inputs, thought)
            children = _merged(self._grown(inputs, thought, got))
            yield from self._valued(inputs, children)
            alive = sorted((child for child in children if child.step.state == "open"), key=lambda one: -one.score)
            stack += reversed(alive[: self.breadth])
            if not alive:
                thought.step.state = "backtracked"
        return best

    def _proposals(self, inputs: dict[str, Any], thought: Thought) -> Any:
        return ask(self.propose, {**inputs, "partial": thought.text}, samples=self.branching)

    def _grown(self, inputs: dict[str, Any], parent: Thought, proposals: Candidates) -> list[Thought]:
        """The thoughts that proposals make of a partial solution, checked."""
        grown = []
        for candidate in proposals:
            text = str(candidate.answer("thought")).strip() if candidate.prediction is not None else ""
            if not text:
                reason = candidate.abstention.kind if candidate.abstention else "empty"
                parent.step.children.append(_step(candidate, "", "dead end", reason))
                continue
            partial = text if not parent.text else f"{parent.text}{self._between}{text}"
            verdict = self.check(inputs, partial) if self.check is not None else Check(None)
            step = _step(candidate, text, "open" if verdict else "pruned", verdict.reason)
            parent.step.children.append(step)
            grown.append(Thought(partial, step, (*parent.path, candidate), level=parent.level + 1))
        return grown

    @property
    def _between(self) -> str:
        return "\n" if self.separator is None else self.separator

    def _valued(self, inputs: dict[str, Any], children: list[Thought]) -> Flow:
        """Give every open thought its score: the mean of its value prompts, else how often it was proposed."""
        alive = [child for child in children if child.step.state == "open"]
        if self.values and alive:
            asked = yield [ask(self.value, {**inputs, "partial": one.text}, samples=self.values) for one in alive]
            for child, got in zip(alive, asked, strict=True):
                child.score = _mean([SCORES.get(str(one.answer("verdict")), 0.5) for one in got])
                child.step.state = "open" if child.score > 0 else "pruned"
        for child in alive:
            child.step.score = child.score

    # --- answers ---

    def _so_far(self, root: Thought, best: Thought) -> Outcome:
        if self.separator is not None:
            return self._arrived(root, best, mark=False)
        fields = {**dict.fromkeys(self._outputs), self._outputs[-1]: best.text or None}
        return Outcome(dspy.Prediction(**fields), used=list(best.path), deliberation=root.step)

    def _arrived(self, root: Thought, best: Thought, *, mark: bool = True) -> Outcome:
        """The partial solution is the answer."""
        if mark:
            _choose(root.step, best)
        prediction = dspy.Prediction(**{self._outputs[0]: best.text or None})
        return Outcome(prediction, used=list(best.path), deliberation=root.step)

    def _answered(self, inputs: dict[str, Any], root: Thought, best: Thought) -> Flow:
        """Ask for the answer that the best branch leads to."""
        _choose(root.step, best)
        final = (yield ask(self.answer, {**inputs, "thoughts": best.text}))[0]
        if final.prediction is None:
            return self._so_far(root, best)
        best.step.children.append(_step(final, str(final.answer(self._outputs[-1])), "chosen", "answer"))
        return Outcome(final.prediction, used=[*best.path, final], deliberation=root.step)


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
    return dspy.Signature({**inputs, **typed}, instructions)


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


def _choose(root: Step, best: Thought) -> None:
    """Mark the way to the best thought."""
    step = root
    while step is not best.step:
        step = next(one for one in step.children if _leads(one, best.step))
        step.state = "chosen"


def _leads(step: Step, goal: Step) -> bool:
    return step is goal or any(_leads(child, goal) for child in step.children)


def _mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.5
