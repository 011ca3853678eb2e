"""The OpenAI-compatible wire: `POST /chat/completions`, spoken by vLLM, llama.cpp, LM Studio and many more.

Form: OpenAI API reference, "Create chat completion"; llama.cpp `tools/server/README.md` for what it adds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rtk.errors import UnsupportedParameter
from rtk.models.http import Pool
from rtk.models.streamed import assembled
from rtk.models.wire import Completion, Fault, seed_of
from rtk.samples import Address, Request, readable


class OpenAIWire:
    """One OpenAI-compatible endpoint, spoken to directly.

    Args:
        name: the model's name as the server knows it.
        pool: connections to the endpoint.
        many: whether it honours `n`; None finds out.
        most: completions in one request.
        streamed: whether to ask for chunks, where a server reports the tokens of each choice only so.
    """

    def __init__(
        self, name: str, pool: Pool, many: bool | None = None, most: int = 64, *, streamed: bool = False
    ) -> None:
        self._name, self._pool, self.many, self.most, self._streamed = name, pool, many, most, streamed
        self._prepared: tuple[str, bytes] = ("", b"")

    async def complete(self, request: Request, addresses: Sequence[Address]) -> list[Completion]:
        """See `rtk.models.wire.Transport.complete`."""
        count, seed = len(addresses), seed_of(request, addresses)
        extra = (b',"n":%d' % count if count > 1 else b"") + (b',"seed":%d' % seed if seed is not None else b"")
        body = self._body(request) + extra
        if self._streamed:
            body += b',"stream":true,"stream_options":{"include_usage":true}}'
            return completions(assembled(await self._pool.stream("/chat/completions", body)))
        return completions(await self._pool.post("/chat/completions", body + b"}"))

    def _body(self, request: Request) -> bytes:
        """The payload but for its last brace, prepared once for all samples of a request."""
        if self._prepared[0] != request.key:
            body = body_of(request, self._name)
            self._prepared = (request.key, json.dumps(body, ensure_ascii=False).encode()[:-1])
        return self._prepared[1]

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
        usage = reply.get("usage") or {}
        choices = [(choice, choice["message"]) for choice in reply["choices"]]
        written = _written(reply, choices, int(usage.get("completion_tokens") or 0))
        found = [
            _completion(reply, choice, message, int(usage.get("prompt_tokens") or 0), tokens, len(choices))
            for (choice, message), tokens in zip(choices, written, strict=True)
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Fault("malformed", f"the reply is no chat completion ({error!r})", retryable=True) from None
    if not found:
        raise Fault("malformed", "the reply holds no choice", retryable=True)
    return found


def _completion(reply: Any, choice: Any, message: Any, prompt: int, tokens: int, among: int) -> Completion:
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    refused = message.get("refusal")
    logprobs = choice.get("logprobs")
    return Completion(
        text=readable(message.get("content") or refused or ""),
        reasoning=readable(reasoning) if reasoning else None,
        finish_reason="refusal" if refused else choice.get("finish_reason"),
        logprobs=logprobs,
        tool_calls=message.get("tool_calls") or None,
        prompt_tokens=prompt,
        billed_prompt_tokens=prompt / among,
        completion_tokens=tokens,
        served_model=reply.get("model"),
        seconds=choice.get("seconds"),
    )


def _written(reply: dict[str, Any], choices: list[Any], total: int) -> list[int]:
    """The tokens of each choice. Where one sum is reported for all of them, it is shared out by length of text.

    llama.cpp's server (told by its `timings`) reports the tokens of one choice for n of them: there the lengths
    are scaled so that the longest has that many at least.
    """
    if all("usage" in choice for choice, _ in choices):
        return [int(choice["usage"]["completion_tokens"]) for choice, _ in choices]
    if len(choices) == 1:
        return [total]
    sizes = [1 + len(m.get("content") or "") + len(m.get("reasoning_content") or "") for _, m in choices]
    if "timings" in reply:
        return [max(1, round(total * size / max(sizes))) for size in sizes]
    shares = [total * size // sum(sizes) for size in sizes]
    for index in sorted(range(len(sizes)), key=lambda i: -sizes[i])[: total - sum(shares)]:
        shares[index] += 1
    return shares
