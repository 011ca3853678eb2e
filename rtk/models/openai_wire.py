"""The OpenAI-compatible wire: `POST /chat/completions`, spoken by vLLM, llama.cpp, LM Studio and many more.

Form: OpenAI API reference, "Create chat completion"; vLLM "OpenAI-Compatible Server" (`reasoning`, formerly
`reasoning_content`); llama.cpp `tools/server/README.md` for what it adds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rtk.errors import UnsupportedParameter
from rtk.models.http import Pool
from rtk.models.streamed import assembled, chunks, events
from rtk.models.tokens import counted
from rtk.models.wire import Completion, Fault, Hear, seed_of
from rtk.samples import Address, Request, readable

MOST = 1024
"""Completions in one request: a reply comes as a whole or not at all, and more than that is too much to lose at once.
A server that takes fewer refuses, and is asked for fewer from then on."""


class OpenAIWire:
    """One OpenAI-compatible endpoint, spoken to directly.

    Args:
        name: the model's name as the server knows it.
        pool: connections to the endpoint.
        many: whether it honours `n`; None finds out.
        most: completions in one request.
        streamed: whether to ask for chunks always, where a server reports the tokens of each choice only so.
    """

    streams: bool = True

    def __init__(
        self, name: str, pool: Pool, many: bool | None = None, most: int = MOST, *, streamed: bool = False
    ) -> None:
        self._name, self._pool, self.many, self.most, self._streamed = name, pool, many, most, streamed
        self._prepared: tuple[str, bytes] = ("", b"")

    async def complete(
        self, request: Request, addresses: Sequence[Address], hear: Hear | None = None
    ) -> list[Completion]:
        """See `rtk.models.wire.Streaming.complete`."""
        count, seed = len(addresses), seed_of(request, addresses)
        extra = (b',"n":%d' % count if count > 1 else b"") + (b',"seed":%d' % seed if seed is not None else b"")
        body = self._body(request) + extra
        if self._streamed or hear is not None:
            body += b',"stream":true,"stream_options":{"include_usage":true}}'
            read = lambda lines: chunks(events(lines), hear)  # noqa: E731 - the pool reads no stream itself
            reply = assembled(await self._pool.stream("/chat/completions", body, read))
        else:
            reply = await self._pool.post("/chat/completions", body + b"}")
        return await counted(request, completions(reply))

    def _body(self, request: Request) -> bytes:
        """The payload but for its last brace, prepared once for all samples of a request."""
        if self._prepared[0] != request.key:
            body = body_of(request, self._name)
            self._prepared = (request.key, json.dumps(body, ensure_ascii=False).encode()[:-1])
        return self._prepared[1]

    async def served(self) -> list[str]:
        """The names of the models there, those that only embed last; raises what `Pool.get` raises."""
        cards = (await self._pool.get("/models")).get("data")
        names = [str(card.get("id")) for card in cards or () if isinstance(card, dict)]
        return sorted(names, key=lambda name: "embed" in name.lower())

    async def close(self) -> None:
        """Close the pool."""
        await self._pool.close()


def body_of(request: Request, name: str) -> dict[str, Any]:
    """A request as OpenAI's wire has it: options are fields, those of `extra_body` too.

    Raises:
        UnsupportedParameter: for an `extra_body` that is no dict, or that would replace the request itself.
    """
    options = request.options
    extra = options.pop("extra_body", {})
    options.pop("seed", None)  # derived per sample
    if not isinstance(extra, dict) or {"messages", "model", "n", "stream"} & extra.keys():
        raise UnsupportedParameter(
            "extra_body must be a dict that leaves model, messages, n and stream alone", mend="pass them to rtk.LM"
        )
    return {"model": name, "messages": request.messages, **options, **extra}


def completions(reply: dict[str, Any]) -> list[Completion]:
    """The completions in a reply.

    Raises:
        Fault: where it holds none, or is no chat completion.
    """
    try:
        choices = [(choice, choice["message"]) for choice in reply["choices"]]
        written, reasoned = _written(reply, choices), _reasoned(reply, choices)
        found = [
            _completion(reply, choice, message, tokens, reasoning, len(choices))
            for (choice, message), tokens, reasoning in zip(choices, written, reasoned, strict=True)
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Fault("malformed", f"the reply is no chat completion ({error!r})", retryable=True) from None
    if not found:
        raise Fault("malformed", "the reply holds no choice", retryable=True)
    return found


def _completion(reply: Any, choice: Any, message: Any, tokens: int, reasoned: int | None, among: int) -> Completion:
    reasoning, refused = _reasoning(message), message.get("refusal")
    return Completion(
        text=readable(message.get("content") or refused or ""),
        reasoning=readable(reasoning) if reasoning else None,
        finish_reason="refusal" if refused else choice.get("finish_reason"),
        logprobs=choice.get("logprobs"),
        tool_calls=[_placeless(call) for call in message.get("tool_calls") or ()] or None,
        prompt_tokens=_prompt(reply),
        choices=among,
        completion_tokens=tokens,
        served_model=reply.get("model"),
        seconds=choice.get("seconds"),
        reasoning_tokens=reasoned,
    )


def _placeless(call: dict[str, Any]) -> dict[str, Any]:
    """A tool call without its place, which is needed in a stream, and which Ollama gives out of one too."""
    return {name: value for name, value in call.items() if name != "index"}


def _reasoning(message: Any) -> str:
    return message.get("reasoning_content") or message.get("reasoning") or ""


# --- usage: a server reports one for all choices ------------------------------------------------------------------


def _prompt(reply: Any) -> int:
    return int((reply.get("usage") or {}).get("prompt_tokens") or 0)


def _total(usage: Any) -> int:
    return int((usage or {}).get("completion_tokens") or 0)


def _thought(usage: Any) -> int | None:
    """The tokens of reasoning among those written, where the server tells."""
    told = ((usage or {}).get("completion_tokens_details") or {}).get("reasoning_tokens")
    return None if told is None else int(told)


def _written(reply: Any, choices: list[Any]) -> list[int]:
    """The tokens of each choice. Where one sum is reported for all of them, it is shared out by length of text.

    llama.cpp's server (told by its `timings`) reports the tokens of one choice for n of them: there the lengths
    are scaled so that the longest has that many at least.
    """
    if all("usage" in choice for choice, _ in choices):
        return [_total(choice["usage"]) for choice, _ in choices]
    total = _total(reply.get("usage"))
    sizes = [1 + len(message.get("content") or "") + len(_reasoning(message)) for _, message in choices]
    if "timings" in reply and len(choices) > 1 and total:
        longest = max(sizes)
        return [max(1, round(total * size / longest)) for size in sizes]
    return _shared(total, sizes)


def _reasoned(reply: Any, choices: list[Any]) -> list[int | None]:
    """The tokens of reasoning of each choice: a sum is shared out by length of reasoning, or evenly where none is
    shown."""
    if all("usage" in choice for choice, _ in choices):
        return [_thought(choice["usage"]) for choice, _ in choices]
    total = _thought(reply.get("usage"))
    if total is None:
        return [None] * len(choices)
    sizes = [len(_reasoning(message)) for _, message in choices]
    return [*_shared(total, sizes if any(sizes) else [1] * len(sizes))]


def _shared(total: int, sizes: list[int]) -> list[int]:
    """A whole number in whole shares; what does not divide goes to the largest."""
    whole = sum(sizes)
    shares = [total * size // whole for size in sizes]
    for index in sorted(range(len(sizes)), key=lambda i: -sizes[i])[: total - sum(shares)]:
        shares[index] += 1
    return shares
