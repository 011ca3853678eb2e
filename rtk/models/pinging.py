"""Asking a model for real what it does: whether it answers, what it honours, how fast it is."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any, Protocol

import dspy

from rtk._html import Markup, element, visible
from rtk.errors import EndpointError, ModelError, RTKError, UnsupportedParameter
from rtk.events import Hearer, SamplePart
from rtk.models.asking import Ask, Gathered, agather
from rtk.models.loop import submit, wait
from rtk.models.wire import Fault, Transport
from rtk.samples import Request, Sample, Stream, addresses

ASKED = {
    "n": "several samples in one request",
    "seed": "the same seed gives the same text",
    "logprobs": "log-probabilities of the tokens",
    "response_format": "a JSON schema is kept to",
    "usage": "tokens are reported",
    "streaming": "a text comes word by word",
}
"""The fields of a `Ping` that say yes or no, and what they say it of."""

_PROMPT = "Tell me something surprising, in one sentence."
_SEED = 20_240_229
_SCHEMA = {"type": "object", "properties": {"fact": {"type": "string"}}, "required": ["fact"],
           "additionalProperties": False}  # fmt: skip
_FORMAT = {"type": "json_schema", "json_schema": {"name": "fact", "strict": True, "schema": _SCHEMA}}
_OUR_OWN = ("seed", "logprobs", "top_logprobs", "response_format", "stop", "tools", "tool_choice", "grammar",
            "json_schema", "min_tokens")  # fmt: skip
_TOKENS, _MORE_TOKENS = 32, 96  # of a sample, and of one that must come to an end
_APART = 1000  # indices between the samples of one request and the next
_REFUSALS = ("status_400", "status_405", "status_422", "status_501")
_LISTING_SECONDS = 5.0
_SHOWN = 4  # names of models


@dataclass(frozen=True)
class Ping:
    """What a model said when it was asked for real. True is yes, False no, and None that it could not be told.

    Attributes:
        model: the model string.
        answers: whether a sample came.
        error, mend: why none came, and what to do about that.
        serves: the names of the models there; None where the way there has no list of them.
        served_model: the name under which the model answered.
        n: whether one request brings several samples.
        seed: whether the same seed, at temperature 1, gives the same text, and another seed another.
        logprobs: whether log-probabilities of the tokens come.
        response_format: whether a JSON schema is kept to that the prompt does not speak of.
        usage: whether the server reports the tokens it read and wrote.
        streaming: whether a text comes in parts.
        seconds: until the first reply was there; a server may have had to load the model.
        tokens_per_second: written, by one sample drawn alone.
        notes: why, by the name of the field.
    """

    model: str
    answers: bool
    error: str | None = None
    mend: str | None = None
    serves: tuple[str, ...] | None = None
    served_model: str | None = None
    n: bool | None = None
    seed: bool | None = None
    logprobs: bool | None = None
    response_format: bool | None = None
    usage: bool | None = None
    streaming: bool | None = None
    seconds: float | None = None
    tokens_per_second: float | None = None
    notes: Mapping[str, str] = field(default_factory=dict, hash=False)

    def rows(self) -> list[tuple[str, str, str]]:
        """What there is to tell: a name, a word, and what it means."""
        told = [("answers", self.word("answers"), self.error or self._as())]
        if self.mend and not self.answers:
            told.append(("mend", "", self.mend))
        if self.serves is not None:
            told.append(("serves", str(len(self.serves)), listed(self.serves)))
        if not self.answers:
            return told
        for name, meaning in ASKED.items():
            note = self.notes.get(name)
            told.append((name, self.word(name), f"{meaning}: {note}" if note else meaning))
        told.append(("seconds", _number(self.seconds), "until the first reply"))
        told.append(("tokens_per_second", _number(self.tokens_per_second), "written, one sample at a time"))
        return told

    def word(self, name: str) -> str:
        """What a field that says yes or no says, in a word."""
        honoured = getattr(self, name)
        return "–" if honoured is None else "yes" if honoured else "no"

    def _as(self) -> str:
        return f"as {self.served_model}" if self.served_model not in (None, self.model) else ""

    def __str__(self) -> str:
        rows = [[visible(cell) for cell in row] for row in self.rows()]
        widths = [max(len(row[place]) for row in rows) for place in (0, 1)]
        lines = [f"  {name:{widths[0]}}  {word:{widths[1]}}  {meaning}".rstrip() for name, word, meaning in rows]
        return "\n".join([visible(self.model), *lines])

    def _repr_html_(self) -> str:
        rows = [element("tr", element("th", name, scope="row"), *(element("td", cell) for cell in rest))
                for name, *rest in self.rows()]  # fmt: skip
        return Markup(element("table", element("caption", self.model), element("tbody", *rows)))


def listed(names: Iterable[str]) -> str:
    """The first of some names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}" if value >= 10 else f"{value:.2g}"


# --- asking ---------------------------------------------------------------------------------------------------------


class Pinged(Protocol):
    """An `rtk.LM`, as far as a ping needs it."""

    model: str
    kwargs: dict[str, Any]
    wrapped: Any

    @property
    def ask(self) -> Callable[..., Ask]:
        """See `rtk.LM.ask`."""
        ...


Lost = Callable[[str, Gathered], ModelError]
"""The error of an ask that brought nothing."""


def ping(lm: Pinged, lost: Lost, deadline: float) -> Ping:
    """See `rtk.LM.ping`."""
    return wait(aping(lm, lost, deadline))


async def aping(lm: Pinged, lost: Lost, deadline: float) -> Ping:
    """See `rtk.LM.aping`."""
    if not deadline > 0:
        raise ModelError(f"deadline={deadline!r} is no number of seconds", mend="for example deadline=60")
    with dspy.context(rtk_gather=None):  # also where somebody only looks at what is stored
        return await _Pinging(lm, deadline).run(lost)


class _NotTold(Exception):
    """Something could not be found out, or was refused; the message is why."""

    def __init__(self, why: object, *, refused: bool = False) -> None:
        super().__init__(" ".join(str(why).split())[:200])
        self.refused = refused


class _Pinging:
    """One ping: a few requests, one after the other, so that none slows another down.

    Its samples lie in a stream that nobody else draws from, each at an index of its own unless it is to share a seed,
    and no two of its requests share a key: no cache on the way has seen them, and a budget charges each of them.
    """

    def __init__(self, lm: Pinged, deadline: float) -> None:
        self._lm, self._deadline, self._until = lm, deadline, monotonic() + deadline
        self._stream, self._requests = Stream(secrets.randbelow(2**31)), 0
        self._notes: dict[str, str] = {}
        self._rate: float | None = None

    async def run(self, lost: Lost) -> Ping:
        """Ask once whether it answers, then for each thing that a server may or may not honour."""
        model, serves = self._lm.model, None
        try:
            transport = await self._opened()
            serves = await _served(transport)
            first = await self._first(lost)
        except ModelError as error:
            return Ping(model, False, str(error), error.mend, serves)
        n = await self._told("n", self._several(transport))
        seed = await self._told("seed", self._seeded())
        logprobs = await self._told("logprobs", self._logprobs())
        response_format = await self._told("response_format", self._formatted())
        streaming = await self._told("streaming", self._streamed())
        usage = bool(first.usage.tokens) and not first.usage.estimated
        return Ping(
            model, True, None, None, serves, first.served_model, n, seed, logprobs, response_format, usage, streaming,
            first.usage.seconds, self._rate, self._notes,
        )  # fmt: skip

    # --- one request ---

    async def _opened(self) -> Transport:
        """The way to the model, opened in a thread: it may have to import a library of the size of LiteLLM."""
        source = self._ask(1, None, {}).source
        return (await asyncio.to_thread(source.drawer, keep=False)).transport

    def _ask(self, count: int, start: int | None, options: Mapping[str, Any]) -> Ask:
        most = "max_completion_tokens" if "max_completion_tokens" in self._lm.kwargs else "max_tokens"
        tokens = _MORE_TOKENS if "response_format" in options else _TOKENS
        given = {**dict.fromkeys(_OUR_OWN), "temperature": 1.0, most: tokens, "cache": False, **options}
        ask = self._lm.ask([{"role": "user", "content": _PROMPT}], given)
        self._requests += 1
        asked = ask.request
        request = Request.of(asked.model, asked.messages, asked.options, {"ping": self._requests})
        place = addresses(request, self._stream, _APART * self._requests if start is None else start, count)
        return replace(ask, request=request, addresses=place, watchers=(), hearers=(), recording=None)

    async def _gather(
        self, count: int, start: int | None, options: Mapping[str, Any], hear: Hearer | None = None
    ) -> Gathered:
        """Draw samples, which are charged and not kept.

        Raises:
            TimeoutError: at the deadline.
            ModelError: where there will be none.
        """
        ask = replace(self._ask(count, start, options), hearers=() if hear is None else (hear,))
        async with asyncio.timeout(max(0.0, self._until - monotonic())):
            return await agather(ask)

    async def _first(self, lost: Lost) -> Sample:
        try:
            gathered = await self._gather(1, None, {})
        except TimeoutError:
            raise EndpointError(
                f"{self._lm.model!r} gave no reply within {self._deadline:g} s",
                mend="a server that has to load the model first takes longer: give the ping a longer deadline=",
            ) from None
        if gathered.samples:
            return gathered.samples[0]
        if gathered.stopped:
            raise ModelError(f"a budget of {gathered.stopped} is spent", mend="ping outside of it, or give it more")
        raise lost(self._lm.model, gathered)

    async def _draw(
        self, count: int = 1, start: int | None = None, hear: Hearer | None = None, **options: Any
    ) -> list[Sample]:
        """Samples of one request; raises `_NotTold` where not all of them came."""
        try:
            gathered = await self._gather(count, start, options, hear)
        except TimeoutError:
            raise _NotTold(f"not within the {self._deadline:g} s of the deadline") from None
        except ModelError as error:
            raise _NotTold(error, refused=isinstance(error, UnsupportedParameter)) from None
        for missing in gathered.missing:
            raise _NotTold(missing, refused=missing.kind in _REFUSALS)
        if gathered.stopped:
            raise _NotTold(f"a budget of {gathered.stopped} is spent")
        return gathered.samples

    # --- what is found out ---

    async def _told(self, name: str, trial: Coroutine[Any, Any, tuple[bool | None, str]]) -> bool | None:
        """What a trial finds out; why is noted under its name."""
        try:
            honoured, note = await trial
        except _NotTold as why:
            honoured, note = False if why.refused else None, str(why)
        if note:
            self._notes[name] = note
        return honoured

    async def _several(self, transport: Transport) -> tuple[bool | None, str]:
        await self._draw(count=2)
        if transport.many is None:
            return None, "not asked for: server_n=False"
        return transport.many, "" if transport.many else "rtk sends a request for each"

    async def _seeded(self) -> tuple[bool | None, str]:
        if self._lm.wrapped is not None:
            return None, "a dspy.LM may answer the same request from a cache of its own"
        same, again, other = [_words(*await self._draw(start=start, seed=_SEED)) for start in (0, 0, 1)]
        if same != again:
            return False, "it gave another text"
        return (None, "so does another seed") if same == other else (True, "")

    async def _logprobs(self) -> tuple[bool | None, str]:
        (sample,) = await self._draw(logprobs=True)
        return (True, "") if sample.logprobs else (False, "none came")

    async def _formatted(self) -> tuple[bool | None, str]:
        (sample,) = await self._draw(response_format=_FORMAT)
        if _keeps_to_schema(sample.text):
            return True, ""
        if sample.finish_reason == "length":
            return None, f"there was no end to it within {_MORE_TOKENS} tokens"
        return False, "it was passed over"

    async def _streamed(self) -> tuple[bool | None, str]:
        parts: list[SamplePart] = []
        (sample,) = await self._draw(hear=parts.append)
        if sample.usage.seconds and sample.usage.completion_tokens:
            self._rate = round(sample.usage.completion_tokens / sample.usage.seconds, 1)
        return (True, "") if len(parts) > 1 else (False, "it comes whole")


async def _served(transport: Any) -> tuple[str, ...] | None:
    """The names of the models there; None where there is no list, or it does not come soon."""
    if not hasattr(transport, "served"):
        return None
    try:
        async with asyncio.timeout(_LISTING_SECONDS):
            return tuple(await asyncio.wrap_future(submit(transport.served())))
    except (TimeoutError, Fault, RTKError):  # whether it answers is seen by asking it
        return None


def _words(sample: Sample) -> tuple[str, str | None]:
    return sample.text, sample.reasoning


def _keeps_to_schema(text: str) -> bool:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and isinstance(value.get("fact"), str)
