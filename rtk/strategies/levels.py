"""Levels: what may be one of a cascade, and how it is asked: a retriever, a function, or a module."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import dspy

from rtk.answers import answer_fields, calculate
from rtk.errors import BudgetSpent, RTKError, SampleError, StrategyError
from rtk.models import Endpoint
from rtk.retrieval import Passage, Retriever
from rtk.strategies.flow import Candidate, Flow, ask
from rtk.strategies.questions import predictors_of, question
from rtk.strategies.sampling import predictor_of
from rtk.strategies.strategy import Strategy, submodule

CALCULATOR = "calculator"
PASSAGES = "passages"
"""The field in which DSPy's retrievers give what they found."""
TEXTS = ("text", "long_text", "content")


class Function:
    """A function that answers: it is called with the inputs that it has parameters for.

    Args:
        function: a function, or a `dspy.Tool`; it may be `async`. None is the calculator.
    """

    def __init__(self, function: Callable[..., Any] | None) -> None:
        self._function = function
        inside = getattr(function, "func", function) if isinstance(function, dspy.Tool) else function
        self.name = CALCULATOR if function is None else str(_name_of(function))
        self._takes, self.needs, self._any = _parameters(inside)
        self.module = _Awaited(self) if _is_async(inside) else None

    def __repr__(self) -> str:
        return f"function {self.name}" if self._function is not None else CALCULATOR

    @property
    def reads(self) -> bool:
        """Whether it reads the question as a text: the calculator does."""
        return self._function is None

    @property
    def takes(self) -> frozenset[str] | None:
        """The names of its parameters; None where it takes any."""
        return None if self._any else self._takes

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Itself: copies of a cascade call the same function."""
        return self

    def __call__(self, text: str, inputs: Mapping[str, Any]) -> Any:
        """What it says; of an `async` function, what is to be awaited."""
        if self._function is None:
            return calculate(text)
        given = {name: value for name, value in inputs.items() if self._any or name in self._takes}
        return self._function.func(**given) if self._tool_waits() else self._function(**given)

    def _tool_waits(self) -> bool:
        return self.module is not None and isinstance(self._function, dspy.Tool)


class _Awaited(dspy.Module):
    """An `async` function as a module, which a driver awaits."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    async def aforward(self, text: str, given: Mapping[str, Any]) -> dspy.Prediction:
        """What the function says, as the field `said`."""
        return dspy.Prediction(said=await self.function(text, given))


AnyLevel = Retriever | Function | dspy.Module


def level_of(given: Any) -> AnyLevel:
    """What is given as a level, as it is kept.

    Raises:
        StrategyError: for what cannot be one.
    """
    if isinstance(given, Endpoint):
        raise StrategyError(
            "an rtk.Endpoint scores answers and gives none", mend='use it as confidence={"level": endpoint}'
        )
    if isinstance(given, dspy.Module):
        return submodule(given)
    if isinstance(given, str) and given == CALCULATOR:
        return Function(None)
    if isinstance(given, str) or (isinstance(given, type) and issubclass(given, dspy.Signature)):
        return dspy.Predict(question(given))
    if callable(given) and not isinstance(given, type):
        return Function(given)
    raise StrategyError(
        f"{given!r:.80} is no level",
        mend='an rtk.Retriever, a function, "calculator", a signature, or a module such as rtk.SelfConsistency(…)',
    )


def name_of(level: AnyLevel) -> str:
    """What a level is called that has no name of its own."""
    if isinstance(level, Function):
        return level.name if level.name.isidentifier() else "function"
    if isinstance(level, Retriever):
        return "retrieval"
    if type(level) is dspy.Predict:
        return "direct"
    words = "".join(f"_{one.lower()}" if one.isupper() else one for one in type(level).__name__)
    return words.strip("_")


def kind_of(level: AnyLevel) -> str:
    """What a level is, in a word."""
    if isinstance(level, Function):
        return "function"
    return "retrieval" if isinstance(level, Retriever) else type(level).__name__


def looks_up(level: AnyLevel) -> bool:
    """Whether a level asks no model and may find passages: a retriever, rtk's or a module of one's own."""
    return isinstance(level, Retriever) or (isinstance(level, dspy.Module) and not predictors_of(level))


def said(level: AnyLevel) -> str:
    """A level as a program prints it."""
    predictor = predictor_of(level) if isinstance(level, dspy.Module) else None
    if predictor is not None:
        signature: Any = predictor.signature
        return f"{type(level).__name__}({signature.signature!r})"
    own = isinstance(level, (Strategy, Retriever, Function))
    return repr(level) if own else f"{type(level).__name__}(…)"


def _name_of(function: Any) -> str:
    return getattr(function, "name", None) or getattr(function, "__name__", None) or type(function).__name__


def _is_async(function: Any) -> bool:
    called = getattr(type(function), "__call__", None)  # noqa: B004 - the method, of an object that is called
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)


def _parameters(function: Any) -> tuple[frozenset[str], frozenset[str], bool]:
    """The names of its parameters, of those it cannot do without, and whether it takes any."""
    if function is None:
        return frozenset(), frozenset(), False
    try:
        found = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # written in C: it does not say
        return frozenset(), frozenset(), True
    named = [one for one in found if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    needs = frozenset(one.name for one in named if one.default is one.empty)
    return frozenset(one.name for one in named), needs, any(one.kind is one.VAR_KEYWORD for one in found)


# --- what a level is given ---


def takes(level: AnyLevel) -> frozenset[str] | None:
    """The input fields of a level, as far as it says so; None where it takes whatever it is given."""
    if isinstance(level, Function):
        return level.takes
    signatures: list[Any] = [one.signature for one in predictors_of(level)]
    fields = frozenset(name for signature in signatures for name in signature.input_fields)
    if isinstance(level, dspy.Predict) or type(level) is dspy.ChainOfThought:
        return fields
    run = _run_of(level)
    if not inspect.isfunction(run):
        return fields or None
    names, _, anything = _parameters(run)
    if not anything:
        return names - {"self"}
    return (fields | names) - {"self"} if fields else None


def given_to(level: AnyLevel, inputs: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """Those of a call's inputs that are a level's business.

    Args:
        level: the level.
        inputs: of the call.
        known: the fields of all levels, and of the cascade: what is one of these and none of this level's is left out.
    """
    taken = takes(level)
    strict = not isinstance(level, Function) and taken is not None and not _open(level)
    keeps = lambda name: taken is None or name in taken or (name not in known and not strict)  # noqa: E731
    return {name: value for name, value in inputs.items() if keeps(name)}


def wants_query(level: AnyLevel) -> bool:
    """Whether a level that looks up calls the question `query`, as DSPy's retrievers do."""
    run = _run_of(level)
    return looks_up(level) and inspect.isfunction(run) and "query" in _parameters(run)[1]


def _open(level: AnyLevel) -> bool:
    """Whether a module's run takes names beyond those it lists, such as `config=`."""
    run = _run_of(level)
    return not inspect.isfunction(run) or _parameters(run)[2]


def _run_of(level: AnyLevel) -> Any:
    """What runs when a module is called, as its class has it."""
    found = (inspect.getattr_static(type(level), name, None) for name in ("flow", "forward", "aforward"))
    return next((one for one in found if one), None)


# --- what it comes to ---


@dataclass
class Found:
    """What asking a level came to.

    Attributes:
        fields: its output fields; empty where it has no answer.
        confidence: how sure it is, as it says itself; an `Estimate`, a number, or None.
        reason: why there is no answer.
        passages: that it found, best first.
        candidate: of a module.
        seconds: that it took.
        cut: the end of a budget that came before its own end.
        error: what it raised.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    confidence: Any = None
    reason: str = ""
    passages: tuple[Passage, ...] = ()
    candidate: Candidate | None = None
    seconds: float = 0.0
    cut: BudgetSpent | None = None
    error: Exception | None = None


def searched(retriever: Retriever, text: str, history: Any, output: str) -> Found:
    """Ask a retriever: the answer of its best passage, in place and with no model call.

    Args:
        retriever: the retriever.
        text: the question.
        history: the conversation before it; None for none.
        output: the field that the answer fills.
    """
    begun = time.perf_counter()
    try:
        passages = tuple(retriever.search(text, history=history))
    except Exception as error:  # noqa: BLE001 - a source that fails is no reason to answer nothing; the route tells it
        return Found(reason=_told(error), error=error, seconds=time.perf_counter() - begun)
    seconds = time.perf_counter() - begun
    if not passages:
        return Found(reason="no passage has anything in common with the question", seconds=seconds)
    best = passages[0]
    answer = best.text if best.answer is None else best.answer
    return Found({output: answer}, best.confidence, passages=passages, seconds=seconds)


def called(function: Function, text: str, inputs: Mapping[str, Any], outputs: Sequence[str]) -> Flow:
    """Ask a function; for `yield from`."""
    begun = time.perf_counter()
    try:
        if function.module is None:
            said = function(text, inputs)
        else:
            got = yield ask(function.module, {"text": text, "given": dict(inputs)})
            said = got[0].prediction.get("said", None) if got[0].prediction is not None else None
    except RTKError:
        raise
    except Exception as error:  # noqa: BLE001 - a user's tool, which may fail like any; the route tells it
        return Found(reason=_told(error), error=error, seconds=time.perf_counter() - begun)
    fields, sure = _read(said, outputs, function)
    reason = "" if fields else "it does not apply"
    return Found(fields, sure, reason, seconds=time.perf_counter() - begun)


def _read(said: Any, outputs: Sequence[str], function: Function) -> tuple[dict[str, Any], Any]:
    """What a function returned, as output fields and a confidence: 1 where it gives none.

    Raises:
        StrategyError: for passages, which only a module finds.
    """
    if said is None:
        return {}, None
    if isinstance(said, (Mapping, dspy.Example)):
        fields = dict(said.items())
        if PASSAGES in fields and PASSAGES not in outputs:
            raise StrategyError(
                f"the function {function.name} returned passages, and a function gives an answer",
                mend="make it a dspy.Module whose forward(self, question) returns dspy.Prediction(passages=[…])",
            )
        if any(name in fields for name in outputs):
            sure = 1.0 if "confidence" in outputs else fields.pop("confidence", 1.0)
            return fields, sure
    return {outputs[-1]: said}, 1.0


def run(program: dspy.Module, inputs: Mapping[str, Any], config: Mapping[str, Any], outputs: Sequence[str]) -> Flow:
    """Ask a module for one candidate; for `yield from`."""
    try:
        got = yield ask(program, inputs, config=config, shared=True)
    except SampleError as error:
        return Found(reason=_told(error), error=error)
    except RTKError:
        raise
    except Exception as error:  # noqa: BLE001 - a module of a user's, which may fail like any tool; the route tells it
        return Found(reason=_told(error), error=error)
    one = got[0]
    if one.prediction is None:
        why = one.abstention
        told = "it gave no answer" if why is None else ": ".join(filter(None, (why.kind, why.reason)))
        return Found(reason=told, candidate=one, seconds=got.seconds, cut=got.cut)
    fields, passages = _fields(one.prediction, outputs), _passages(one.prediction, outputs)
    reason = f"it found {len(passages)} passage{'s' * (len(passages) != 1)}" if passages else ""
    return Found(fields, getattr(one.prediction, "confidence", None), reason, passages, one, got.seconds, got.cut)


def _fields(prediction: dspy.Prediction, outputs: Sequence[str]) -> dict[str, Any]:
    """The fields of a prediction; where none of them is one that is wanted, its last answer is the last of those.

    Of what finds passages and gives none of these, there is no answer.
    """
    fields = dict(prediction.items())
    if any(name in fields for name in outputs):
        return fields
    names = answer_fields(list(fields))
    if PASSAGES in fields:
        return {}
    return {**fields, outputs[-1]: fields[names[-1]]} if names else fields


def _passages(prediction: dspy.Prediction, outputs: Sequence[str]) -> tuple[Passage, ...]:
    """The passages that a module found, best first: `rtk.retrieval.Passage`s, texts, or mappings with a `text`."""
    given = prediction.get(PASSAGES, None) if PASSAGES not in outputs else None
    found = list[Passage]()
    for number, one in enumerate(given if isinstance(given, (list, tuple)) else (), 1):
        said = next((one[name] for name in TEXTS if name in one), None) if isinstance(one, Mapping) else one
        if isinstance(said, Passage):
            found.append(said)
        elif isinstance(said, str) and said.strip():
            about = one if isinstance(one, Mapping) else {}
            place = about.get("id", f"passage {number}")
            found.append(Passage(str(place), said, source=str(about.get("source", ""))))
    return tuple(found)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:160]
