"""The wires of scoring models: a question and an answer go there, and a number comes back.

Forms: vLLM docs, "Scoring", "Classification" and "Pooling Models", and the classes that they show, of
`vllm/entrypoints/pooling` (`ScoreTextRequest`, `ScoreResponse`, `ClassificationResponse`, `PoolingChatRequest`,
`PoolingResponse`, `RerankRequest`, `RerankResponse`); llama.cpp `tools/server/README.md`, "POST /reranking", whose form
is Jina's and others' too.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from rtk.errors import EndpointError
from rtk.models.http import Pool
from rtk.models.tokens import counted
from rtk.models.wire import Completion, Fault, Mends
from rtk.samples import Address, Request

API = Literal["auto", "score", "classify", "pooling", "rerank"]
"""A way to ask for a score; `"auto"` finds out."""

_PATHS: dict[str, tuple[str, ...]] = {
    "classify": ("/classify", "/v1/classify"),
    "score": ("/score", "/v1/score"),
    "pooling": ("/pooling", "/v1/pooling"),
    "rerank": ("/v1/rerank", "/rerank"),
}
"""Where each may be. Those that read a conversation, as reward models are trained on, come first, but for `/pooling`:
a model that only embeds has it too, and gives no score there."""

_NO_ROUTE = re.compile(r"chat template|not? (support|allowed)|field required|'missing'|reranking", re.IGNORECASE)
_NO_MODEL = re.compile(r"\bmodel\b", re.IGNORECASE)
_PLACE = re.compile(r"\{(question|answer)\}")

MENDS = Mends(
    start="start the server (`vllm serve MODEL --runner pooling`, `llama-server -m FILE --reranking`) or correct the "
    "url of rtk.Endpoint",
    key="pass the key: rtk.Endpoint(url, api_key=...)",
    model="rtk.Endpoint(url, model=NAME): the name that the server knows (GET /v1/models lists it), at the url without "
    "a route (http://HOST:PORT)",
)


class Route(NamedTuple):
    """A way to ask, and its path."""

    api: str
    path: str


def routes_of(url: str, api: API, *, conversing: bool = False) -> tuple[str, list[Route]]:
    """The root of an endpoint, and where its scores may be, to be tried in order.

    Args:
        url: the server's address, perhaps with `/v1`, or with the whole path of one route.
        api: the way to ask; `"auto"` for all of them.
        conversing: whether only those will do that are sent a conversation, or a text made of one.
    """
    base, kinds = url.rstrip("/"), [kind for kind in _PATHS if api in ("auto", kind)]
    for kind in kinds:
        if base.endswith(f"/{kind}"):
            return base.removesuffix(f"/{kind}"), [Route(kind, f"/{kind}")]
    kinds = [kind for kind in kinds if not conversing or kind in ("classify", "pooling")]
    return base.removesuffix("/v1"), [Route(kind, path) for kind in kinds for path in _PATHS[kind]]


class ScoringWire:
    """One endpoint that scores. A sample's text is the score, as a decimal number.

    Args:
        name: the model's name there; None for the only one.
        pool: connections to the endpoint.
        routes: where scores may be; the first that is there is remembered.
    """

    many: bool | None = False
    most: int = 1

    def __init__(self, name: str | None, pool: Pool, routes: Sequence[Route]) -> None:
        self._name, self._pool, self._routes = name, pool, list(routes)
        self._finding = asyncio.Lock()

    async def complete(self, request: Request, addresses: Sequence[Address]) -> list[Completion]:
        """See `rtk.models.wire.Transport.complete`; always one score, for the first address.

        Raises:
            EndpointError: also where no route is there, and where what comes cannot be a score.
        """
        reply, route = await self._asked(request)
        score = score_of(reply, request.options.get("label"))
        told = Completion(
            text="", finish_reason=route.api, prompt_tokens=_tokens(reply), served_model=_name_of(reply.get("model"))
        )
        found = await counted(request, [told])
        return [replace(found[0], text=repr(score))]

    async def close(self) -> None:
        """Close the pool."""
        await self._pool.close()

    async def _asked(self, request: Request) -> tuple[dict[str, Any], Route]:
        if len(self._routes) > 1:
            async with self._finding:  # one finds out, and the others wait for it
                if len(self._routes) > 1:
                    return await self._find(request)
        return await self._post(request, self._routes[0]), self._routes[0]

    async def _find(self, request: Request) -> tuple[dict[str, Any], Route]:
        """Try one route after the other; the first that answers is the only one from then on."""
        refusals: dict[str, str] = {}
        for route in self._routes:
            try:
                reply = await self._post(request, route)
            except (EndpointError, Fault) as error:
                refusals[route.path] = _absence(error)
                if not refusals[route.path]:
                    raise
            else:
                self._routes = [route]
                return reply, route
        paths = {
            words: ", ".join(path for path, said in refusals.items() if said == words) for words in refusals.values()
        }
        told = "; ".join(f"{path}: {words}" for words, path in paths.items())
        raise EndpointError(
            f"the endpoint has no route for scores ({told})"[:600],
            mend="serve a reward or reranking model there: `vllm serve MODEL --runner pooling` (--convert classify), "
            "`llama-server -m FILE --reranking`; the url of rtk.Endpoint is http://HOST:PORT, or that of the route",
        )

    async def _post(self, request: Request, route: Route) -> dict[str, Any]:
        body = {**({"model": self._name} if self._name else {}), **body_of(request, route.api)}
        return await self._pool.post(route.path, json.dumps(body, ensure_ascii=False).encode())


def _absence(error: EndpointError | Fault) -> str:
    """In words, that a server has no such route, or has it for other models; empty where something else is wrong."""
    words = str(error)
    if isinstance(error, EndpointError):
        _, _, words = words.partition("(status 404): ")
        return "status 404" if error.status == 404 and not _NO_MODEL.search(words) else ""
    if error.kind in ("status_405", "status_501"):
        return f"{error.kind.replace('_', ' ')}: {words}"[:160]
    refused = error.kind in ("status_400", "status_422") and _NO_ROUTE.search(words)
    return f"{error.kind.replace('_', ' ')}: {words}"[:160] if refused else ""


def body_of(request: Request, api: str) -> dict[str, Any]:
    """What is asked, but for the model's name."""
    messages = request.messages
    question, answer = (message["content"] for message in messages)
    if api == "score":
        return {"text_1": question, "text_2": answer}
    if api == "rerank":
        return {"query": question, "documents": [answer]}
    template = request.options.get("template")
    if template is None:
        return {"messages": messages}
    texts = {"question": question, "answer": answer}
    return {"input": _PLACE.sub(lambda place: texts[place[1]], template)}


def score_of(reply: Mapping[str, Any], label: int | None = None) -> float:
    """The score in a reply of any of the forms.

    A class of several is chosen by its number; of two, the second one is the good one, as is usual. Of scores for
    every token, the last token's counts.

    Raises:
        Fault: where it holds none.
        EndpointError: where it holds many numbers and none is chosen, or not the one that is.
    """
    found = reply.get("data") or reply.get("results")
    first = found[0] if isinstance(found, list) and found and isinstance(found[0], dict) else {}
    value = next((first[name] for name in ("score", "relevance_score", "probs", "data") if name in first), None)
    while isinstance(value, list) and value and isinstance(value[-1], list):
        value = value[-1]
    if isinstance(value, list) and value:
        value = _chosen(value, label)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Fault("malformed", "the reply holds no score", retryable=True)
    if not math.isfinite(value):
        raise Fault("malformed", f"the score is {value}, which is no number", retryable=True)
    return float(value)


def _chosen(values: list[Any], label: int | None) -> Any:
    if label is None and len(values) > 2:
        raise EndpointError(
            f"the endpoint gives {len(values)} numbers for a text, and not one score",
            mend="rtk.Endpoint(url, label=NUMBER) takes that class's; a model that embeds gives no scores: serve a "
            "reward or reranking model",
        )
    number = -1 if label is None else label
    if not -len(values) <= number < len(values):
        raise EndpointError(
            f"label={label}, and the endpoint gives {len(values)} numbers for a text",
            mend=f"rtk.Endpoint(url, label=NUMBER) with a number below {len(values)}, or no label=",
        )
    return values[number]


def _tokens(reply: Mapping[str, Any]) -> int:
    """The tokens read, as far as they are reported."""
    usage = reply.get("usage")
    told = [usage.get(name) for name in ("prompt_tokens", "total_tokens")] if isinstance(usage, dict) else []
    return next((one for one in told if isinstance(one, int) and not isinstance(one, bool) and one > 0), 0)


def _name_of(model: Any) -> str | None:
    return model if isinstance(model, str) and model else None
