"""Servers of models that score: vLLM's `/score`, `/rerank`, `/classify` and `/pooling`, and llama.cpp's `/rerank`.

Forms: vLLM docs, "Scoring", "Classification", "Pooling Models", which show the classes of `vllm/entrypoints/pooling`;
llama.cpp `tools/server/README.md`, "POST /reranking". A script says a score as text; several numbers are of several
classes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rtk.testing.llamacpp_shape import LlamaCppShape
from rtk.testing.openai_shape import OpenAIShape
from rtk.testing.replies import Received, Reply
from rtk.testing.shape import Page, Usage, prompt_tokens
from rtk.testing.vllm_shape import VLLMShape


class _Scoring(OpenAIShape):
    """What they have in common. A script sees the question as the user's message and the answer as the assistant's.

    Args:
        chat: the path.
    """

    fields: tuple[str, ...] = ()

    def __init__(self, chat: str) -> None:
        self.chat = chat

    def messages(self, body: Mapping[str, Any]) -> Any:
        """The question and the first answer, as a conversation."""
        question, answer = (body.get(name) for name in self.fields)
        first = answer[0] if isinstance(answer, list) and answer else answer
        return [{"role": "user", "content": question}, {"role": "assistant", "content": first}]

    def asked(self, body: Mapping[str, Any]) -> Any:
        """A score for each answer."""
        answers = body.get(self.fields[-1])
        return len(answers) if isinstance(answers, list) else 1

    def streams(self, body: Mapping[str, Any]) -> bool:
        """Never."""
        return False

    def knows(self, models: Sequence[str], name: Any) -> bool:
        """A request may leave the name out."""
        return name is None or name in models

    def refusal(self, body: Mapping[str, Any]) -> Reply | None:
        """A request without its texts."""
        missing = [name for name in self.fields if not isinstance(body.get(name), (str, list))]
        return Reply(f"{missing[0]}: Field required", status=400) if missing else None

    def pages(self, models: Sequence[str]) -> dict[tuple[str, str], Page]:
        """None; they are not asked for here."""
        return {}

    def reply(self, received: Received, replies: Sequence[Reply], model: str, usage: Usage) -> dict[str, Any]:
        """One entry for each text."""
        tokens = prompt_tokens(received, replies)
        told = {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}} if usage != "none" else {}
        head = {"id": f"score-{received.index}", "object": "list", "created": int(time.time()), "model": model}
        return {**head, **self._list([self._entry(i, reply) for i, reply in enumerate(replies)]), **told}

    def _list(self, entries: list[dict[str, Any]]) -> dict[str, Any]:
        return {"data": entries}

    def _entry(self, index: int, reply: Reply) -> dict[str, Any]:
        return {"index": index, "object": "score", "score": float(reply.text)}

    def error(self, status: int, message: str) -> dict[str, Any]:
        """As of vLLM."""
        return VLLMShape().error(status, message)


class ScoreShape(_Scoring):
    """vLLM's `/score`."""

    fields = ("text_1", "text_2")


class RerankShape(_Scoring):
    """vLLM's `/rerank`: Jina's form, the best document first."""

    fields = ("query", "documents")

    def _list(self, entries: list[dict[str, Any]]) -> dict[str, Any]:
        return {"results": sorted(entries, key=lambda entry: -entry["relevance_score"])}

    def _entry(self, index: int, reply: Reply) -> dict[str, Any]:
        return {"index": index, "relevance_score": float(reply.text)}


class LlamaCppRerankShape(RerankShape):
    """llama.cpp's, for whatever model is named."""

    def knows(self, models: Sequence[str], name: Any) -> bool:
        """It serves the one model it has."""
        return True

    def error(self, status: int, message: str) -> dict[str, Any]:
        """As of llama.cpp."""
        return LlamaCppShape().error(status, message)


class ClassifyShape(_Scoring):
    """vLLM's `/classify`, of a conversation or a text."""

    fields = ("input",)

    def messages(self, body: Mapping[str, Any]) -> Any:
        """The conversation; a text is one message."""
        return body["messages"] if "messages" in body else [{"role": "user", "content": body.get("input")}]

    def refusal(self, body: Mapping[str, Any]) -> Reply | None:
        """A request with neither a conversation nor a text."""
        return None if isinstance(body.get("messages"), list) else super().refusal(body)

    def _entry(self, index: int, reply: Reply) -> dict[str, Any]:
        probs = [float(number) for number in reply.text.split()]
        best = max(range(len(probs)), key=probs.__getitem__)
        return {"index": index, "label": f"LABEL_{best}", "probs": probs, "num_classes": len(probs)}


class PoolingShape(ClassifyShape):
    """vLLM's `/pooling` of a reward model: a line for each token, in which are the scores of its classes."""

    def _entry(self, index: int, reply: Reply) -> dict[str, Any]:
        rows = [[float(number) for number in line.split()] for line in reply.text.splitlines()]
        return {"index": index, "object": "pooling", "data": rows}
