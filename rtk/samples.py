"""A sample and its address: the values everything else is built on. Read this first.

Ground floor: knows no model, no store and no strategy.

A *request* is what determines the distribution of a completion. The i-th completion of a request, in a stream,
is drawn once and stored at its *address* `(request key, stream, index)`. Addresses follow from the place in the
program, before any I/O, never from the order in which replies arrive.

A *stream* is the replicate, then one rollout number for every rollout level entered, outermost first, trailing
zeros dropped: `0`, `0/2`, `0/0/1` (not `0/1`). DSPy's `rollout_id=r` is a stream of its own, `path~r`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from rtk._context import in_context, of_context
from rtk._json import canonical, checksum
from rtk.errors import NewerStore, StoreError, UnsupportedParameter

SCHEMA = 1
"""Version of the stored form of requests and samples."""

NOT_IN_A_REQUEST = frozenset(
    {
        "api_key", "api_base", "base_url", "api_version", "organization", "headers", "extra_headers", "default_headers",
        "timeout", "request_timeout", "num_retries", "max_retries", "retries", "n", "num_generations", "rollout_id",
        "cache", "caching", "stream", "stream_options", "client", "http_client", "api_type", "custom_llm_provider",
        "input_cost_per_token", "output_cost_per_token", "metadata", "user", "mock_response", "prompt_cache",
    }
)  # fmt: skip
"""Fields that cannot change what a model would say; with those of a connection, they must never reach a disk."""

_CONNECTION = re.compile(
    r"(api_base|base_url|api_version|organization|headers|timeout)$"
    r"|^(aws|azure|vertex|oci|watsonx)_|^(tenant_id|client_id|region_name|project|project_id|space_id|username)$"
    r"|(api_?key|secret|password|credentials|authorization|(access|session|auth|bearer|ad)_token(_provider)?)$",
    re.IGNORECASE,
)


def of_connection(name: str) -> bool:
    """Whether a field says where a model is and who asks: keys, headers, endpoints, regions, time limits."""
    return bool(_CONNECTION.search(name))


def outside_a_request(name: str) -> bool:
    """Whether a field is no part of a request, and so never on a disk."""
    return name in NOT_IN_A_REQUEST or of_connection(name)


# --- requests ---------------------------------------------------------------------------------------------------

_REASONING = re.compile(r"^(?:o[1345](?:-|$)|gpt-5)")


def usual_temperature(model: str) -> float:
    """The temperature that `rtk.LM` asks with where none is given: OpenAI's reasoning models take no other than 1."""
    return 1.0 if _REASONING.match(model.rpartition("/")[2]) else 0.7


@dataclass(frozen=True)
class Request:
    """What determines the distribution of a completion, and nothing else.

    Attributes:
        body: canonical JSON of `{"identity", "messages", "model", "options"}`. The identity holds what tells two
            models of one name apart: the SHA-256 of a GGUF, a `revision`.
        key: SHA-256 of `body`, in hex: the first part of every address.
    """

    body: str
    key: str

    @classmethod
    def of(
        cls,
        model: str,
        messages: Sequence[Mapping[str, Any]],
        options: Mapping[str, Any],
        identity: Mapping[str, Any] | None = None,
    ) -> Request:
        """Build a request; fields that are no part of one (`outside_a_request`) and unset ones are left out.

        Args:
            model: the model string, as given to `rtk.LM`.
            messages: chat messages, each with `role` and `content`.
            options: sampling parameters; `temperature` must be among them.
            identity: what else tells this model from another of the same name.

        Raises:
            UnsupportedParameter: without a temperature, or with values that JSON cannot carry.
        """
        kept = {name: value for name, value in options.items() if not outside_a_request(name) and value is not None}
        if "temperature" not in kept:
            raise UnsupportedParameter("a request without a temperature", mend="pass temperature=; rtk.LM does")
        heat = kept["temperature"]
        if isinstance(heat, bool) or not isinstance(heat, (int, float)) or not heat >= 0:
            raise UnsupportedParameter(f"temperature={heat!r}", mend="a temperature is a number from 0 on")
        if isinstance(kept.get("stop"), str):
            kept["stop"] = [kept["stop"]]
        body = canonical({"identity": identity or {}, "messages": messages, "model": model, "options": kept})
        return cls(body, checksum(body))

    @classmethod
    def parse(cls, body: str) -> Request:
        """Read a stored request back.

        Raises:
            NewerStore: for one that a newer rtk wrote.
            StoreError: where the text is none.
        """
        try:
            value = json.loads(body)
            _refuse_newer(value, "request")
            whole = isinstance(value["model"], str) and isinstance(value["options"]["temperature"], (int, float))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise StoreError(f"a stored request cannot be read: {error}") from error
        if not whole or canonical(value) != body:
            raise StoreError("a stored request is not in canonical form")
        return cls(body, checksum(body))

    def saying(self, body: str) -> Request:
        """A request that differs from this one in its messages alone, whose body is known."""
        made = Request(body, checksum(body))
        made.__dict__["_brief"] = self._brief
        return made

    @property
    def value(self) -> dict[str, Any]:
        """The body as a fresh dict."""
        return json.loads(self.body)

    @cached_property
    def _brief(self) -> tuple[str, dict[str, Any]]:
        """The model and the options, parsed once; the messages may be long."""
        value = self.value
        return value["model"], value["options"]

    @property
    def model(self) -> str:
        """The model string."""
        return self._brief[0]

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The chat messages."""
        return self.value["messages"]

    @property
    def options(self) -> dict[str, Any]:
        """The sampling parameters as a fresh dict, the temperature always among them."""
        return deepcopy(self._brief[1])

    @property
    def greedy(self) -> bool:
        """Whether every sample is the same one: temperature 0."""
        return self._brief[1]["temperature"] == 0

    def __repr__(self) -> str:
        return f"Request({self.model!r}, key={self.key[:12]})"


# --- streams and addresses --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stream:
    """Where in the program samples are drawn.

    Attributes:
        replicate: which repetition of the whole experiment.
        rollouts: one number for every rollout level entered, outermost first.
        rollout_id: DSPy's, where one above 0 was given; a stream of its own.
    """

    replicate: int = 0
    rollouts: tuple[int, ...] = ()
    rollout_id: int = 0

    def enter(self, rollout: int) -> Stream:
        """The stream of one rollout of a program run in this stream."""
        if rollout < 0:
            raise ValueError(f"rollout {rollout} is below 0")
        return Stream(self.replicate, (*self.rollouts, rollout), self.rollout_id)

    def apart(self, rollout_id: int | None) -> Stream:
        """The stream of DSPy's `rollout_id`; none and 0 are this stream's own."""
        return Stream(self.replicate, self.rollouts, rollout_id) if rollout_id else self

    def __str__(self) -> str:
        levels = list(self.rollouts)
        while levels and levels[-1] == 0:
            levels.pop()
        path = "/".join(map(str, (self.replicate, *levels)))
        return f"{path}~{self.rollout_id}" if self.rollout_id else path


class Address(NamedTuple):
    """Where a sample lives: the request's key, the stream's path, the index in the stream."""

    key: str
    stream: str
    index: int

    def __str__(self) -> str:
        return f"{self.key}:{self.stream}:{self.index}"

    def seed(self, seed: int) -> int:
        """The seed of this sample, derived from the request's seed, the stream and the index; below 2³¹."""
        return int(checksum(f"{seed}|{self.stream}|{self.index}")[:8], 16) & 0x7FFFFFFF


def addresses(request: Request, stream: Stream, start: int, count: int) -> list[Address]:
    """`count` addresses from `start` on; at temperature 0 all of them are one and the same."""
    if request.greedy:
        return [Address(request.key, "0", 0)] * count
    path = str(stream)
    return [_new(Address, (request.key, path, index)) for index in range(start, start + count)]


def current_stream() -> Stream:
    """The stream the calling code runs in."""
    return of_context("rtk_stream") or Stream()


@contextmanager
def replicate(number: int) -> Iterator[None]:
    """Draw everything inside as the `number`-th repetition of the experiment; 0 is what runs without it.

    >>> with replicate(3):
    ...     str(current_stream())
    '3'
    """
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise ValueError(f"replicate({number!r}): a replicate is a whole number from 0 on")
    with in_context(rtk_stream=Stream(number)):
        yield


# --- samples ----------------------------------------------------------------------------------------------------


class Usage(NamedTuple):
    """What one sample cost when it was drawn.

    Attributes:
        prompt_tokens: tokens read.
        completion_tokens: tokens written, those of the reasoning included.
        dollars: the price paid; None where it is unknown, never 0 for that.
        seconds: from sending to the whole reply, waiting for a retry left out.
        reasoning_tokens: those of the completion's that are reasoning, where the server tells them apart.
        estimated: whether the tokens were counted here, since the server reported none.
        choices: completions of the HTTP request it came with, for all of which the prompt was read once.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    dollars: float | None = None
    seconds: float = 0.0
    reasoning_tokens: int | None = None
    estimated: bool = False
    choices: int = 1

    @property
    def tokens(self) -> int:
        """Tokens read and written."""
        return self.prompt_tokens + self.completion_tokens


class Sample(NamedTuple):
    """One completion, at its address.

    Attributes:
        address: where it lives.
        text: the completion.
        usage: tokens, dollars and seconds.
        reasoning: the reasoning text of a reasoning model, apart from the answer.
        finish_reason: `"stop"`, `"length"`, `"tool_calls"`, `"content_filter"`, …, as the server says.
        logprobs: token log-probabilities as the server sends them, where they were asked for.
        tool_calls: tool calls in OpenAI's form.
        served_model: the name the server gives itself.
        drawn_at: UTC time of drawing, ISO 8601.
        versions: of rtk and DSPy at drawing.
        ingested: whether others drew it (`SampleStore.ingest`); what is not known of it is empty.
    """

    address: Address
    text: str
    usage: Usage = Usage()
    reasoning: str | None = None
    finish_reason: str | None = None
    logprobs: Any = None
    tool_calls: Any = None
    served_model: str | None = None
    drawn_at: str = ""
    versions: tuple[tuple[str, str], ...] = ()
    ingested: bool = False

    def to_json(self) -> str:
        """Canonical JSON with the schema and a checksum over the rest."""
        usage = self.usage
        stored = _Stored(
            address=self.address,
            choices=max(1, usage.choices),
            drawn_at=self.drawn_at,
            estimated=usage.estimated,
            finish_reason=self.finish_reason,
            ingested=self.ingested,
            logprobs=_raw(self.logprobs),
            reasoning=self.reasoning,
            reasoning_tokens=usage.reasoning_tokens,
            schema=SCHEMA,
            served_model=self.served_model,
            text=self.text,
            tool_calls=_raw(self.tool_calls),
            usage=(usage.prompt_tokens, usage.completion_tokens, _raw(usage.dollars), _raw(usage.seconds)),
            versions=dict(sorted(self.versions)),
        )
        try:
            rest = _encode(stored).decode()
        except (TypeError, UnicodeError) as error:
            raise UnsupportedParameter(f"a sample holds something that JSON cannot carry: {error}") from error
        at = rest.index("],") + 2  # behind the address, where the checksum's place is in the order of keys
        return f'{rest[:at]}"checksum":"{checksum(rest)}",{rest[at:]}'

    @classmethod
    def from_json(cls, text: str | bytes) -> Sample:
        """Read a sample back, checking its schema, its types and its checksum.

        Raises:
            NewerStore: for one that a newer rtk wrote.
            StoreError: naming what else is wrong.
        """
        raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        try:
            return _sample(_stored.decode(_verified(raw)))
        except (ValueError, RecursionError, UnsupportedParameter) as error:
            with suppress(ValueError, RecursionError):
                _refuse_newer(json.loads(raw), "sample")
            raise StoreError(f"a stored sample cannot be read: {error}") from error


_Count = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]  # beyond it, a number in JSON is not the same everywhere
_Amount = Annotated[float, msgspec.Meta(ge=0, lt=2**53)]


class _Stored(msgspec.Struct, gc=False, kw_only=True, omit_defaults=True):
    """A sample as it is stored, its keys in canonical order; values of other types are refused."""

    address: Address
    choices: Annotated[int, msgspec.Meta(ge=1, lt=2**53)] = 1
    drawn_at: str
    estimated: bool = False
    finish_reason: str | None
    ingested: bool = False
    logprobs: Any
    reasoning: str | None
    reasoning_tokens: _Count | None = None
    schema: Literal[1]
    served_model: str | None
    text: str
    tool_calls: Any
    usage: tuple[_Count, _Count, _Amount | None, _Amount]
    versions: dict[str, str]


_stored = msgspec.json.Decoder(_Stored)
_encode = msgspec.json.Encoder().encode


def _raw(value: Any) -> Any:
    """What is canonical for a number or anything, where msgspec would write it its own way."""
    return None if value is None else msgspec.Raw(canonical(value).encode())


_new: Any = tuple.__new__  # a named tuple's own constructor takes three times as long, and this reads every sample


def _sample(it: _Stored) -> Sample:
    usage = _new(Usage, it.usage + (it.reasoning_tokens, it.estimated, it.choices))  # noqa: RUF005 - the quickest
    return _new(
        Sample,
        (it.address, it.text, usage, it.reasoning, it.finish_reason, it.logprobs, it.tool_calls, it.served_model,
         it.drawn_at, tuple(it.versions.items()), it.ingested),
    )  # fmt: skip


def _verified(raw: bytes) -> bytes:
    """What the checksum in a stored sample is of: the bytes around it, as `Sample.to_json` wrote them.

    Where somebody laid its JSON out anew, they are written again.

    Raises:
        ValueError: where the checksum is of something else.
    """
    before, _, behind = raw.partition(b'"checksum":"')
    rest = before + behind[66:]
    if behind[:66] == hashlib.sha256(rest).hexdigest().encode() + b'",':
        return rest
    value = json.loads(raw)
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    given, text = value.pop("checksum", None), canonical(value)
    if given != checksum(text):
        raise ValueError("it does not match its checksum")
    return text.encode()


def _refuse_newer(value: Any, what: str) -> None:
    schema = value.get("schema") if isinstance(value, dict) else None
    if type(schema) is int and schema > SCHEMA:
        raise NewerStore(
            f"a stored {what} has schema {schema!r:.20}; this rtk reads {SCHEMA}",
            mend="pip install -U rtk-inference, or name another store (RTK_CACHE= or store=)",
        )


@dataclass(frozen=True, slots=True)
class Missing:
    """A sample that was asked for and did not come.

    Attributes:
        address: where it would have lived.
        kind: one word for the cause: `"timeout"`, `"status_500"`, `"connection"`, …
        reason: the server's or the network's own words, shortened.
    """

    address: Address
    kind: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}" if self.reason else self.kind


def readable(text: str) -> str:
    """Text as it can be stored: lone surrogates, which no encoding carries, replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")
