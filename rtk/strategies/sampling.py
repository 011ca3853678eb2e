"""Sampling a predictor: its prompt made once, n completions, each parsed on its own.

What DSPy does in one `adapter(...)` call is done here in two halves around the draw, so that one malformed
completion costs one candidate and not all of them.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Sequence
from typing import Any

import dspy
from dspy.adapters.decision import resolve_adapter
from dspy.adapters.decision_state import DecisionState
from dspy.clients.capabilities import planning_scope
from dspy.primitives.prediction import Completions
from dspy.utils.exceptions import AdapterParseError

from rtk.answers import Abstention
from rtk.errors import BudgetSpent
from rtk.models import LM, Ask, Gathered
from rtk.samples import Missing, Request, Sample, Stream
from rtk.strategies.calls import Calls
from rtk.strategies.flow import Candidate, Candidates
from rtk.strategies.formatting import formatted, to_parse
from rtk.strategies.plain import rtk_lm
from rtk.strategies.prediction import holding

_CLOSED = re.compile(r"</\w+>\s*$")  # as `dspy.XMLAdapter` ends

_SPLITTABLE = {
    method
    for adapter in (dspy.Adapter, dspy.ChatAdapter, dspy.JSONAdapter)
    for method in (adapter.__call__, adapter.acall)
}


def predictor_of(program: dspy.Module) -> dspy.Predict | None:
    """The one predictor of a flat program (exactly `dspy.Predict` or `dspy.ChainOfThought`); None for any other."""
    predictor = program.predict if type(program) is dspy.ChainOfThought else program
    return predictor if type(predictor) is dspy.Predict else None


def splits(predictor: dspy.Predict) -> bool:
    """Whether the adapter that a predictor will use does nothing but format, call and parse."""
    kind = type(dspy.settings.adapter or dspy.ChatAdapter())
    plain = kind.__call__ in _SPLITTABLE and kind.acall in _SPLITTABLE
    decides = getattr(predictor.lm or dspy.settings.lm, "supports_decision_requests", False) is True
    return plain and not decides and not DecisionState(predictor.signature, predictor.fields).types


class Prepared:
    """What is asked, ready to be drawn from: the half of a call before its draw, and the half behind it.

    Attributes:
        calls: the modules it is a call of, as DSPy's callbacks see them.
        predictor: whose samples they are, where it is a predictor.
    """

    predictor: dspy.Predict | None = None

    def __init__(self, modules: Sequence[dspy.Module], inputs: dict[str, Any]) -> None:
        self.calls = Calls(modules, inputs)
        self._early: dict[int, Candidate] = {}

    def key(self) -> str:
        """The key of the request all candidates are samples of."""
        raise NotImplementedError

    def ask(self, start: int, count: int, stream: Stream) -> Ask:
        """The ask for samples `start` … of the request, in a stream."""
        raise NotImplementedError

    def record(self, ask: Ask, gathered: Gathered) -> None:
        """Tell DSPy's history and its callbacks what was gathered."""
        raise NotImplementedError

    def read(self, found: Candidate, sample: Sample) -> None:
        """Read a sample as a prediction, or as an abstention."""
        raise NotImplementedError

    def early(self, ask: Ask, came: Sample | Missing) -> list[tuple[int, Candidate]]:
        """A sample that came before the others, as the candidates it is, with their indices."""
        with self.calls.current():
            for index, address in enumerate(ask.addresses):
                if address == came.address and index not in self._early:
                    self._early[index] = self.candidate(index, came)
        return [(index, one) for index, one in self._early.items() if ask.addresses[index] == came.address]

    def candidates(self, ask: Ask, gathered: Gathered) -> Candidates:
        """The candidates in what was gathered, in index order."""
        self.record(ask, gathered)
        with self.calls.current():
            pairs = enumerate(gathered.results)
            found = Candidates(self._early.get(i) or self.candidate(i, result) for i, result in pairs)
        if gathered.stopped:
            found.cut = BudgetSpent(gathered.stopped, gathered.budget, gathered.samples)
        self.calls.ends(next((one.prediction for one in found if one.prediction is not None), None))
        return found

    def failed(self, error: BaseException) -> None:
        """The call failed as a whole: tell the callbacks."""
        self.calls.ends(None, error)

    def candidate(self, index: int, result: Sample | Missing) -> Candidate:
        """What a sample says."""
        where = frozenset({str(result.address)})
        if isinstance(result, Missing):
            return Candidate(index, abstention=Abstention("failed", str(result)), addresses=where)
        found = Candidate(index, sample=result, seconds=result.usage.seconds, addresses=where)
        self.read(found, result)
        return found


class Sampling(Prepared):
    """One predictor with its inputs, ready to be drawn from.

    Args:
        program: a predictor, or a `dspy.ChainOfThought` around one.
        predictor: a `dspy.Predict`; its `lm`, `config` and `demos` are honoured.
        inputs: its input fields.
        config: sampling parameters on top of the predictor's own.

    Attributes:
        messages: what is said.
        request: the request that they make; known when the key was asked for.
    """

    messages: list[dict[str, Any]]
    request: Request

    def __init__(
        self, program: dspy.Module, predictor: dspy.Predict, inputs: dict[str, Any], config: dict[str, Any]
    ) -> None:
        self._modules = [program, predictor] if program is not predictor else [predictor]
        super().__init__(self._modules, inputs)
        self.predictor = predictor
        try:
            self._prepare(predictor, inputs, config)
        except Exception as error:
            self.failed(error)
            raise

    def _prepare(self, predictor: dspy.Predict, inputs: dict[str, Any], config: dict[str, Any]) -> None:
        """What a `dspy.Predict` and its adapter do before they call the LM."""
        # DSPy's own call arguments, `config=`, `lm=`, `demos=` and `signature=`, are honoured among the inputs
        given = {**inputs, "config": {**inputs.get("config", {}), **config}}
        lm, options, self.signature, demos, self._inputs = predictor._forward_preprocess(**given)
        self._options: dict[str, Any] = dict(options)
        self._adapter: Any = resolve_adapter(
            lm, dspy.settings.adapter or dspy.ChatAdapter(), self.signature, predictor.fields, predictor.signature
        )
        self.lm: LM = rtk_lm(lm)
        with self.calls.current(), planning_scope(self.lm, self._options):
            if isinstance(self._adapter, dspy.JSONAdapter):
                self._adapter._prepare_response_format(self.lm, self._options, self.signature)
            self._processed = self._adapter._call_preprocess(self.lm, self._options, self.signature, self._inputs)
            self.messages = formatted(self._adapter, self._processed, demos, self._inputs)
        self._parsed = [to_parse(self._adapter, one) for one in (self._processed, self.signature)]
        if self._options.get("parallel_tool_calls") is not None:
            self._options.setdefault("tool_choice", "auto")

    def key(self) -> str:
        """The key of the request all candidates are samples of."""
        self.request = self.lm.request(self.messages, {**self.lm.kwargs, **self._options})
        return self.request.key

    def filled(self, inputs: dict[str, Any], message: str, request: Request) -> Sampling:
        """The same with other inputs, with the last message and the request that they make; to be heard by nobody."""
        made = copy.copy(self)
        made.calls, made._early, made._inputs = Calls((), inputs), {}, inputs
        made.messages = [*self.messages[:-1], {**self.messages[-1], "content": message}]
        made.request = request
        return made

    def ask(self, start: int, count: int, stream: Stream) -> Ask:
        """The ask for samples `start` … of this predictor's request, in a stream."""
        self.calls.lm_starts(self.lm, self.messages, self._options)
        made = self.request
        return self.lm.ask(self.messages, self._options, start=start, count=count, stream=stream, request=made)

    def record(self, ask: Ask, gathered: Gathered) -> None:
        """Tell DSPy's history and its callbacks what was gathered."""
        with dspy.context(caller_modules=[*(dspy.settings.caller_modules or []), *self._modules]):
            if gathered.samples:
                self.lm.record(ask, gathered, None, self._options)
        self.calls.lm_ends([sample.text for sample in gathered.samples])

    def read(self, found: Candidate, sample: Sample) -> None:
        """Read a completion as the adapter does."""
        found.abstention = _abstains(sample)
        if found.abstention is None:
            self._parse(found, sample)

    def _parse(self, found: Candidate, sample: Sample) -> None:
        output: Any = sample.text
        extra = {"reasoning_content": sample.reasoning, "logprobs": sample.logprobs, "tool_calls": sample.tool_calls}
        if any(extra.values()):
            output = {"text": sample.text, **{name: value for name, value in extra.items() if value}}
        try:
            values = self._adapter._call_postprocess(*self._parsed, [output], self.lm, self._options)
        except AdapterParseError as error:
            found.abstention = Abstention("malformed", _why(error))
            return
        values[0].pop("logprobs", None)  # on the sample; among the fields it would end up in prompts
        found.prediction = holding(dspy.Prediction, values[0], Completions(values, self.signature))
        found.trace = [(self.predictor, {**self._inputs}, found.prediction)]


def _why(error: AdapterParseError) -> str:
    """What was wrong, in a line: an adapter's own words, else DSPy's, without the completion."""
    said = str(error).split("\n\nLM Response:")[0].split("\n\nAdapter ")[0]
    return " ".join(said.split())[:160]


def _abstains(sample: Sample) -> Abstention | None:
    """Whether a completion is none: empty, refused, or cut off before its end."""
    reason = sample.finish_reason
    if reason in ("content_filter", "refusal"):
        return Abstention("refused", f"finish_reason {reason}")
    if not sample.text.strip() and not sample.tool_calls:
        return Abstention("empty")
    if reason == "length" and not _whole(sample.text):  # a cut number may read as another one
        return Abstention("length", f"cut off after {sample.usage.completion_tokens} tokens")
    return None


def _whole(text: str) -> bool:
    """Whether a text that was cut off says all the same that it is complete."""
    if "[[ ## completed ## ]]" in text or _CLOSED.search(text):
        return True
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
