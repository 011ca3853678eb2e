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
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import dspy
import orjson
import pydantic

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


# --- canonical JSON ---------------------------------------------------------------------------------------------

_IN_ORDER = frozenset({"extra_body", "functions", "properties", "response_format", "tools"})


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, `1.0` and `1` alike, no NaN.

    Inside JSON schemas and tools the keys keep their order: a model fills in a schema's properties as they stand.

    Raises:
        UnsupportedParameter: for a value that JSON cannot hold, or text that is not valid Unicode.
    """
    try:
        text = json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        text.encode("utf-8")
    except (TypeError, ValueError, RecursionError, pydantic.PydanticUserError) as error:
        raise UnsupportedParameter(
            f"a request holds something that JSON cannot carry: {error}",
            mend="pass plain values: text, finite numbers, lists, dicts, or a pydantic model class as response_format",
        ) from error
    return text


def _plain(value: Any, in_order: bool = False) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        return int(value) if math.isfinite(value) and value == int(value) else value
    if isinstance(value, Mapping):
        items = [(str(key), item) for key, item in value.items()]
        items = items if in_order else sorted(items, key=lambda pair: pair[0])
        return {key: _plain(item, in_order or key in _IN_ORDER) for key, item in items}
    if isinstance(value, (list, tuple)):
        return [_plain(item, in_order) for item in value]
    if isinstance(value, type) and issubclass(value, pydantic.BaseModel):
        schema = _plain(value.model_json_schema(), in_order=True)
        return {"type": "json_schema", "json_schema": {"name": value.__name__, "schema": schema, "strict": True}}
    if isinstance(value, pydantic.BaseModel):
        return _plain(value.model_dump(mode="json"), in_order)
    raise TypeError(f"{type(value).__name__} {value!r:.60}")


def checksum(text: str) -> str:
    """SHA-256 of a text's UTF-8 bytes, in hex."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


# --- requests ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
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
            StoreError: where the text is no request.
        """
        try:
            value = json.loads(body)
            whole = isinstance(value["model"], str) and isinstance(value["options"]["temperature"], (int, float))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise StoreError(f"a stored request cannot be read: {error}") from error
        if not whole or canonical(value) != body:
            raise StoreError("a stored request is not in canonical form")
        return cls(body, checksum(body))

    @property
    def value(self) -> dict[str, Any]:
        """The body as a fresh dict."""
        return json.loads(self.body)

    @property
    def model(self) -> str:
        """The model string."""
        return self.value["model"]

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The chat messages."""
        return self.value["messages"]

    @property
    def options(self) -> dict[str, Any]:
        """The sampling parameters, the temperature always among them."""
        return self.value["options"]

    @property
    def greedy(self) -> bool:
        """Whether every sample is the same one: temperature 0."""
        return self.options["temperature"] == 0

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
    return [Address(request.key, path, index) for index in range(start, start + count)]


def current_stream() -> Stream:
    """The stream the calling code runs in."""
    return dspy.settings.get("rtk_stream") or Stream()


@contextmanager
def replicate(number: int) -> Iterator[None]:
    """Draw everything inside as the `number`-th repetition of the experiment; 0 is what runs without it.

    >>> with replicate(3):
    ...     str(current_stream())
    '3'
    """
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise ValueError(f"replicate({number!r}): a replicate is a whole number from 0 on")
    with dspy.context(rtk_stream=Stream(number)):
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
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    dollars: float | None = None
    seconds: float = 0.0
    reasoning_tokens: int | None = None
    estimated: bool = False

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
        usage, where = self.usage, self.address
        value = {
            "schema": SCHEMA,
            "address": [where.key, where.stream, where.index],
            "text": self.text,
            "usage": [usage.prompt_tokens, usage.completion_tokens, usage.dollars, usage.seconds],
            "reasoning": self.reasoning,
            "finish_reason": self.finish_reason,
            "logprobs": self.logprobs,
            "tool_calls": self.tool_calls,
            "served_model": self.served_model,
            "drawn_at": self.drawn_at,
            "versions": dict(self.versions),
        }
        rare = {"reasoning_tokens": usage.reasoning_tokens, "estimated": usage.estimated, "ingested": self.ingested}
        value |= {name: said for name, said in rare.items() if said is not None and said is not False}
        rest = canonical(value)
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
            return _sample(orjson.loads(raw) if _as_written(raw) else _rewritten(raw))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, UnsupportedParameter) as error:
            raise StoreError(f"a stored sample cannot be read: {error}") from error


_HEAD = re.compile(rb'(\{"address":\["[0-9a-f]{64}","[0-9/~]+",[0-9]+\],)"checksum":"([0-9a-f]{64})",')


def _as_written(raw: bytes) -> bool:
    """Whether these are the bytes that `Sample.to_json` wrote: their checksum is that of all the rest."""
    head = _HEAD.match(raw)
    return head is not None and hashlib.sha256(head[1] + raw[head.end() :]).hexdigest().encode() == head[2]


def _rewritten(raw: bytes) -> dict[str, Any]:
    """A sample whose JSON somebody laid out anew: its checksum is that of the canonical form.

    Raises:
        StoreError: where it is not, or the text is no JSON object.
    """
    value = json.loads(raw)
    if not isinstance(value, dict):
        raise StoreError("a stored sample is no JSON object")
    _refuse_other_schemas(value)
    if value.pop("checksum", None) != checksum(canonical(value)):
        raise StoreError("a stored sample does not match its checksum")
    return value


def _refuse_other_schemas(value: dict[str, Any]) -> None:
    schema = value.get("schema")
    if schema == SCHEMA:
        return
    told = f"a stored sample has schema {schema!r:.20}; this rtk reads {SCHEMA}"
    if type(schema) is int and schema > SCHEMA:
        raise NewerStore(told, mend="pip install -U rtk-inference, or name another store (RTK_CACHE= or store=)")
    raise StoreError(told)


def _sample(value: dict[str, Any]) -> Sample:
    _refuse_other_schemas(value)
    key, stream, index = value["address"]
    prompt, completion, dollars, seconds = value["usage"]
    text, reasoned = value["text"], value.get("reasoning_tokens")
    estimated, ingested = value.get("estimated", False), value.get("ingested", False)
    if not (type(text) is type(key) is type(stream) is str and type(index) is int):
        raise TypeError("its text or address is none")
    if type(estimated) is not bool or type(ingested) is not bool or type(reasoned) not in (int, _NONE):
        raise TypeError("its tokens of reasoning are no number, or a mark of it is neither true nor false")
    versions = value["versions"]
    return Sample(
        Address(key, stream, index),
        text,
        Usage(int(prompt), int(completion), None if dollars is None else float(dollars), float(seconds), reasoned,
              estimated),
        value["reasoning"],
        value["finish_reason"],
        value["logprobs"],
        value["tool_calls"],
        value["served_model"],
        value["drawn_at"],
        tuple(sorted(versions.items())),
        ingested,
    )  # fmt: skip


_NONE = type(None)


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
