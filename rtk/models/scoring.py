"""`rtk.Endpoint`: a reward model behind HTTP, whose scores are samples like any other."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import dspy
from dspy.adapters.utils import serialize_for_json

from rtk.budget import Ceiling, current_budgets
from rtk.errors import BudgetSpent, EndpointError, ModelError, SampleError
from rtk.events import hearers, watchers
from rtk.models.asking import Ask, Gathered, agather, gather
from rtk.models.http import Pool
from rtk.models.outputs import usage
from rtk.models.prices import pricing
from rtk.models.retries import retries as patience
from rtk.models.scoring_wire import API, MENDS, Route, ScoringWire, routes_of
from rtk.models.source import Source
from rtk.samples import Missing, Request, Sample, Stream, addresses, current_stream, readable
from rtk.store import SampleStore, current_recording

Part = str | Callable[[Mapping[str, Any]], Any] | None
"""What is sent of some fields: one of them by its name, what a function makes of them, or all of them."""


class Endpoint(dspy.Module):
    """A model that scores an answer to a question, on a server: a reward model, a classifier, a reranker.

    It is a verifier, `rtk.BestOfN(program, N, rtk.Endpoint(url))`; called by itself it gives a prediction with a
    `score`. A score is drawn once, kept at its address, recorded and replayed, budgeted and watched, as every sample
    is. Neither the url nor the key is stored anywhere.

    vLLM's `/classify`, `/score` and `/pooling` are spoken, and `/rerank` of llama.cpp, vLLM, Jina and others.
    `/classify` and `/pooling` are sent a conversation of the question and the answer, which the server writes with the
    model's own chat template; a reward model wants that. `/score` and `/rerank` are sent the two texts, as rerankers
    want them: name the way (`api=`) where a server offers both. Of a model that scores every token, such as a process
    reward model, the last one's score is taken.

    >>> score = rtk.Endpoint("http://gpu-box:8000", model="Skywork/Skywork-Reward-V2-Llama-3.1-8B")  # doctest: +SKIP
    >>> score(question="What is 2 + 2?", answer="4").score  # doctest: +SKIP
    12.5

    Args:
        url: `http://HOST:PORT`, perhaps with `/v1`, or with the path of the route.
        model: its name there; it tells apart, in the store, the scores of two models. None for a server's only one.
        api: `"score"`, `"classify"`, `"pooling"`, `"rerank"`, or `"auto"`, which tries `/classify`, `/score`,
            `/pooling` and `/rerank`, moves on where one is not there or not for this model, and remembers the one that
            answers. It is part of a score's address: two ways may give two scales.
        question: what a strategy sends of the inputs: the name of one, a function of the mapping; all of them if None.
        answer: the same of the prediction's fields.
        api_key: sent as a bearer token.
        timeout: seconds of a try.
        concurrency: requests in flight at once.
        store: a `SampleStore`, or the folder of one; the default is that of `rtk.LM`.
        label: of a classifier with several classes, the one whose number is the score; of two, the second by default.
        template: for `/classify` and `/pooling`, a text with `{question}` and `{answer}` in place of a conversation,
            for a model without a chat template, or a server that takes texts only.
        revision: tells models of one name apart, where a server changes what it serves.
        price: dollars per million tokens, (read, written); without it what a score costs is not known.
        num_retries: how often a failed request is asked again.
        deadline: seconds that a score may take in all.
        cache: False asks anew every time and stores nothing.

    Raises:
        EndpointError: for a url or a timeout that cannot be. When called: where nobody listens, the key is refused, no
            route gives scores, or what comes is no score but many numbers.
        ModelError: for another setting that cannot be. When called: without the fields that it needs.
        SampleError: when called, where the score did not come.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        api: API = "auto",
        question: Part = None,
        answer: Part = None,
        api_key: str | None = None,
        timeout: float = 600,
        concurrency: int = 16,
        store: SampleStore | str | Path | None = None,
        label: int | None = None,
        template: str | None = None,
        revision: str | None = None,
        price: tuple[float, float] | None = None,
        num_retries: int = 3,
        deadline: float | None = None,
        cache: bool = True,
    ) -> None:
        super().__init__()
        _check(url, api, timeout, concurrency, label, template)
        self.model = f"endpoint/{model}" if model else "endpoint"
        self.api, self.question, self.answer = api, question, answer
        self._options = {"temperature": 0, "api": api, "label": label, "template": template}
        self.source = Source(
            _opener(model, routes_of(url, api, conversing=template is not None), api_key, timeout),
            identity={"revision": revision} if revision else {},
            price=pricing(self.model, price, free=False, own=True),
            machine=lambda: None,
            parameters=None,
            store=SampleStore(store) if isinstance(store, (str, Path)) else store,
            keep=cache,
            concurrency=concurrency,
            server_n=False,
            retries=patience(num_retries, None, deadline),
        )

    if TYPE_CHECKING:  # a checker knows what a call takes

        def __call__(self, *, question: Any, answer: Any) -> dspy.Prediction:
            """The score of an answer to a question, on a prediction with a `score: float`."""
            ...

        async def acall(self, *, question: Any, answer: Any) -> dspy.Prediction:
            """The same, awaited."""
            ...

    def __repr__(self) -> str:
        """The model and the way; never the url."""
        return f"rtk.Endpoint(model={self.model.partition('/')[2] or None!r}, api={self.api!r})"

    def __copy__(self) -> Endpoint:
        """A copy over the same connection and store."""
        twin = type(self).__new__(type(self))
        vars(twin).update(vars(self))
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Endpoint:
        twin = memo[id(self)] = copy(self)
        return twin

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refused before a byte is written: what is pickled would hold the url and the key."""
        raise ModelError(
            "an rtk.Endpoint holds a url and a key, and no pickle takes them along",
            mend="save the program's state, program.save('program.json'), and make the endpoint anew",
        )

    def forward(self, **fields: Any) -> dspy.Prediction:
        """The score of an answer to a question; what it raises is said at the class."""
        ask = self.ask(fields)
        return self._answer(gather(ask))

    async def aforward(self, **fields: Any) -> dspy.Prediction:
        """The same, awaited."""
        ask = self.ask(fields)
        return self._answer(await agather(ask))

    def _answer(self, gathered: Gathered) -> dspy.Prediction:
        self.record(gathered)
        if gathered.stopped:
            raise BudgetSpent(gathered.stopped, gathered.budget, gathered.samples)
        found = gathered.results[0]
        if isinstance(found, Missing):
            raise SampleError(f"no score of {self.model} came ({found})", mend=_mend_of(found.kind), kind=found.kind)
        return dspy.Prediction(score=self.score(found))

    # --- what strategies call ---

    def texts(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, str]:
        """What is sent of a call's inputs and of what it came to: `question` and `answer`.

        Raises:
            ModelError: for a field that is not there.
        """
        return {
            "question": _text("question", self.question, inputs),
            "answer": _text("answer", self.answer, outputs),
        }

    def ask(self, fields: Mapping[str, Any], *, start: int = 0, count: int = 1, stream: Stream | None = None) -> Ask:
        """An ask for the score of an answer to a question. There is one, however often it is asked for."""
        request = self.request(fields)
        return Ask(
            source=self.source,
            request=request,
            addresses=addresses(request, stream or current_stream(), start, count),
            ceiling=self._ceiling(request),
            budgets=current_budgets(),
            watchers=watchers(),
            keep=self.source.keep,
            recording=current_recording(),
            adapter=type(dspy.settings.adapter or dspy.ChatAdapter()).__name__,
            hearers=hearers(),
        )

    def request(self, fields: Mapping[str, Any]) -> Request:
        """The request for the score of `fields["answer"]` to `fields["question"]`.

        Raises:
            ModelError: where there are other fields than these two.
        """
        if fields.keys() != {"question", "answer"}:
            raise ModelError(
                f"rtk.Endpoint was asked with {', '.join(map(str, fields)) or 'nothing'}",
                mend="endpoint(question=…, answer=…); in a flow: ask(endpoint, endpoint.texts(inputs, prediction))",
            )
        said = [("user", fields["question"]), ("assistant", fields["answer"])]
        messages = [{"role": role, "content": _written(value)} for role, value in said]
        return Request.of(self.model, messages, self._options, self.source.identity)

    def score(self, sample: Sample) -> float:
        """The score that a sample says.

        Raises:
            ModelError: where it says none, which a recording or a store that somebody edited may.
        """
        try:
            number = float(sample.text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise ModelError(f"{sample.text!r:.60} is no score", mend="a score is a finite number")
        return number

    def record(self, gathered: Gathered) -> None:
        """Tell DSPy's usage tracker what was drawn."""
        if dspy.settings.usage_tracker and gathered.drawn:
            dspy.settings.usage_tracker.add_usage(self.model, usage(gathered.drawn))

    def _ceiling(self, request: Request) -> Ceiling:
        budgets = current_budgets()
        if not budgets:
            return Ceiling()
        price = self.source.price if any("dollars" in budget.limits for budget in budgets) else None
        bound = len(request.body.encode()) + 16 * len(request.messages)  # a token is a byte at least
        return Ceiling(bound, 0, price.read if price else None, price.written if price else None)


def _text(part: str, which: Part, fields: Mapping[str, Any]) -> str:
    """What is sent of some fields: all of several are named, a single one is as it is."""
    if callable(which):
        return _written(which(fields))
    if which is not None:
        if which not in fields:
            raise ModelError(
                f"{part}={which!r} of rtk.Endpoint is no field there",
                mend=f"there is {', '.join(map(str, fields)) or 'none'}",
            )
        return _written(fields[which])
    found = {name: _written(value) for name, value in fields.items() if value is not None}
    if len(found) == 1:
        return next(iter(found.values()))
    return "\n\n".join(f"{name}: {text}" for name, text in found.items())


def _written(value: Any) -> str:
    """A value as text: lists and objects as JSON."""
    plain = serialize_for_json(value)
    return readable(plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False))


def _opener(name: str | None, place: tuple[str, list[Route]], key: str | None, timeout: float) -> Any:
    root, routes = place
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return lambda: ScoringWire(name, Pool(name or "rtk.Endpoint", root, headers, float(timeout), MENDS), routes)


def _check(url: Any, api: Any, timeout: Any, concurrency: Any, label: Any, template: Any) -> None:
    """Refuse settings that cannot be. The url is not repeated: it may hold a key."""
    if not isinstance(url, str) or not re.match(r"https?://[^/\s]+", url):
        raise EndpointError("the url of rtk.Endpoint is no address", mend='rtk.Endpoint("http://HOST:PORT")')
    if not isinstance(timeout, (int, float)) or isinstance(timeout, bool) or not 0 < timeout < math.inf:
        raise EndpointError(f"timeout={timeout!r} is no number of seconds", mend="for example timeout=120")
    if api not in get_args(API):
        raise ModelError(f"api={api!r} is no way to a score", mend=f"one of {', '.join(get_args(API))}")
    if not isinstance(concurrency, int) or concurrency < 1:
        raise ModelError(f"concurrency={concurrency!r} lets no request through", mend="pass 1 or more")
    if label is not None and (isinstance(label, bool) or not isinstance(label, int)):
        raise ModelError(f"label={label!r} is no class", mend="the number of one, from 0 on")
    if template is not None and not (isinstance(template, str) and "{answer}" in template):
        raise ModelError(f"template={template!r:.60} has no place for the answer", mend='"{question}\\n\\n{answer}"')
    if template is not None and api in ("score", "rerank"):
        raise ModelError(f"template= would have no effect on api={api!r}", mend='leave it out, or api="classify"')


def _mend_of(kind: str) -> str:
    if kind == "malformed":
        return "what answers there gives no scores: check the url and api= of rtk.Endpoint, and what the server serves"
    if kind == "context":
        return "the text is too long for the model: send less of it (question=, answer= of rtk.Endpoint)"
    if kind == "timeout":
        return "give rtk.Endpoint a longer timeout= or deadline=, or ask again"
    if kind in ("status_400", "status_405", "status_413", "status_422", "status_501"):
        return "the server does not take this: another api= of rtk.Endpoint, or template= where it takes texts only"
    return "ask again; what came is kept"
