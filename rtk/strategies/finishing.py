"""Chains that were cut off by their length, asked once more for the answer they were coming to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import dspy

from rtk.answers import answer_fields
from rtk.errors import StrategyError
from rtk.strategies.flow import Candidate, Flow, ask

SHOWN = 8000  # characters of a chain that are shown again; of a longer one its beginning and its end
UNFINISHED = "unfinished"

_HEADER = re.compile(r"^\s*\[\[ ## \w+ ## \]\]\s*$", re.MULTILINE)  # as `dspy.ChatAdapter` writes them


def finisher(predictor: dspy.Predict) -> dspy.Predict:
    """A predictor of the answers alone, from a predictor's inputs and what was thought before the cut."""
    whole: Any = predictor.signature
    if UNFINISHED in whole.input_fields:
        raise StrategyError(f"finish_cut= has a field {UNFINISHED} of its own", mend="rename the signature's")
    for name in set(whole.output_fields) - set(answer_fields(whole.output_fields)):
        whole = whole.delete(name)
    told = "An earlier attempt was cut off before its end. Give the answer that it leads to, and nothing else."
    whole = whole.with_instructions(f"{whole.instructions}\n{told}")
    return dspy.Predict(whole.append(UNFINISHED, dspy.InputField(desc="the attempt, up to where it was cut off"), str))


def is_cut(chain: Candidate) -> bool:
    """Whether a chain has no answer because it was cut off, with something in it to go on from."""
    sample = chain.sample
    if chain.abstention is None or sample is None or sample.finish_reason != "length":
        return False
    return bool(sample.text.strip() or (sample.reasoning or "").strip())


def finish(
    finisher: dspy.Predict,
    inputs: Mapping[str, Any],
    config: Mapping[str, Any],
    chains: Sequence[Candidate],
    outputs: Sequence[str],
) -> Flow:
    """Ask for the answers of chains that were cut off, all of them at once; for `yield from`.

    A chain that gets one has a prediction from then on: its own reasoning with that answer. One that gets none stays an
    abstention. Chains that are one and the same sample are asked for once.

    Args:
        finisher: see `finisher`.
        inputs: of the chains.
        config: sampling parameters of the chains.
        chains: those that were cut off.
        outputs: the fields that a whole chain has, in order.

    Returns:
        What came, by the `id` of the chain, and whether a budget let all be asked for.
    """
    cut: dict[frozenset[str], list[Candidate]] = {}
    for chain in chains:
        cut.setdefault(chain.addresses, []).append(chain)
    texts = [_text(same[0]) for same in cut.values()]
    asked = yield [ask(finisher, {**inputs, UNFINISHED: shortened(text)}, config=config) for text in texts]
    came: dict[int, Candidate] = {}
    for same, text, got in zip(cut.values(), texts, asked, strict=True):
        for chain in same if got else ():
            came[id(chain)] = got[0]
            _go_on(chain, text, got[0], outputs)
    return came, all(got.cut is None for got in asked)


def shortened(text: str, most: int = SHOWN) -> str:
    """A text of at most so many characters: of a longer one its beginning and its end, and how much is missing."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[-half:]}"


def _text(chain: Candidate) -> str:
    sample = chain.sample
    if sample is None:
        return ""
    said = [sample.reasoning or "", _HEADER.sub("", sample.text)]
    return "\n\n".join(one.strip() for one in said if one.strip())


def _go_on(chain: Candidate, text: str, end: Candidate, outputs: Sequence[str]) -> None:
    """Give a chain the answer that was asked for."""
    if end.prediction is None or chain.sample is None:
        return
    fields = {name: end.prediction.get(name, text) for name in outputs}  # what was thought is all that it does not give
    chain.prediction, chain.abstention = dspy.Prediction(**fields), None
    chain.trace, chain.addresses = end.trace, chain.addresses | end.addresses
    chain.seconds += end.seconds
    told = [one.sample.logprobs for one in (chain, end) if one.sample is not None]
    tokens = [token for one in told if isinstance(one, Mapping) for token in one.get("content") or ()]
    chain.sample = chain.sample._replace(logprobs={"content": tokens} if tokens else None)
