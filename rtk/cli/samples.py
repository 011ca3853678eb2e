"""One request and its samples, as a page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rtk.cli.amounts import count, moment, price
from rtk.cli.output import heading, tell

if TYPE_CHECKING:
    from rtk.samples import Request, Sample
    from rtk.store import Held


def show_request(held: Held, request: Request | None) -> None:
    """What was asked, and of whom."""
    tell(held.key)
    if request is None:
        tell("the request itself is missing or damaged: what was asked is not known\n")
        return
    whose = {**request.options, **request.value.get("identity", {})}
    tell(f"{request.model}  {', '.join(f'{name}={_told(value)}' for name, value in whose.items())}\n")
    for message in request.messages:
        heading(str(message.get("role")))
        tell(_content(message) + "\n")


def show_sample(sample: Sample) -> None:
    """What the model said, and what that cost."""
    where = sample.address
    heading(f"sample {where.index}" + (f" of stream {where.stream}" if where.stream != "0" else ""))
    tell(" · ".join(_facts(sample)), style="dim")
    if sample.reasoning:
        tell(sample.reasoning, style="dim")
        tell("---", style="dim")
    tell((sample.text or "(no text)") + "\n")
    if sample.tool_calls:
        tell(_told(sample.tool_calls) + "\n")


def _facts(sample: Sample) -> list[str]:
    usage = sample.usage
    about = "about " if usage.estimated else ""
    thought = f", {usage.reasoning_tokens:,} of reasoning" if usage.reasoning_tokens else ""
    facts = [sample.finish_reason or "no finish_reason",
             f"{usage.prompt_tokens:,} → {about}{count(usage.completion_tokens, 'token')}{thought}",
             "price unknown" if usage.dollars is None else f"${price(usage.dollars)}"]  # fmt: skip
    facts += [f"{usage.seconds:.2f} s"] if usage.seconds else []
    facts += [sample.served_model] if sample.served_model else []
    facts += [moment(sample.drawn_at)] if sample.drawn_at else []
    facts += ["ingested"] if sample.ingested else []
    facts += ["with log-probabilities"] if sample.logprobs else []
    return facts


def _content(message: dict[str, Any]) -> str:
    """The text of a message; what else is in it as JSON."""
    content = message.get("content")
    parts = content if isinstance(content, list) else [content]
    told = [_part(part) for part in parts if part]
    rest = {name: value for name, value in message.items() if name not in ("role", "content") and value}
    return "\n".join([*told, *([_told(rest)] if rest else [])])


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return part["text"]
    said = _told(part)
    return said if len(said) <= 200 else f"{said[:200]}… ({len(said):,} characters)"


def _told(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def as_values(sample: Sample) -> dict[str, Any]:
    """A sample for a program."""
    usage, where = sample.usage, sample.address
    return {
        "stream": where.stream, "index": where.index, "text": sample.text, "reasoning": sample.reasoning,
        "finish_reason": sample.finish_reason, "tool_calls": sample.tool_calls, "logprobs": sample.logprobs,
        **usage._asdict(), "served_model": sample.served_model, "drawn_at": sample.drawn_at or None,
        "ingested": sample.ingested, "versions": dict(sample.versions),
    }  # fmt: skip
