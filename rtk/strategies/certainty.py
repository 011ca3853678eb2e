"""How sure a model was of a chain: the log-probabilities of its tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rtk.errors import StrategyError
from rtk.samples import Sample
from rtk.strategies.flow import Candidate


def mean_logprob(sample: Sample | None) -> float | None:
    """The mean log-probability of a sample's tokens, in nats: the logarithm of their geometric mean (Wang et al., 2022,
    arXiv:2203.11171, "normalized weighted sum"). None where the server gave none; tokens that it left out, or called
    impossible though it wrote them, are passed over.
    """
    told = sample.logprobs if sample is not None else None
    if told is None:
        return None
    tokens = told.get("content") if isinstance(told, Mapping) else None
    found = [token.get("logprob") for token in tokens or () if isinstance(token, Mapping)]
    numbers = [float(one) for one in found if isinstance(one, (int, float)) and math.isfinite(one) and one <= 0]
    return math.fsum(numbers) / len(numbers) if numbers else None


def told_logprob(chain: Candidate, setting: str) -> float:
    """The mean log-probability of a chain's tokens, in nats.

    Args:
        chain: a chain with an answer.
        setting: that wants it, as it is written: `'vote="confidence"'`.

    Raises:
        StrategyError: where the model gave none.
    """
    mean = mean_logprob(chain.sample)
    if mean is None:
        raise StrategyError(
            f"{setting} weighs chains by log-probabilities, and the model gave none",
            mend="ask lm.ping().logprobs, or `rtk doctor`, which models give them; or leave out "
            f"{setting.partition('=')[0]}=",
        )
    return mean


def certainties(chains: Sequence[Candidate]) -> list[float]:
    """A weight in (0, 1] for each chain: the geometric mean of its tokens' probabilities; 0 for an abstention.

    Raises:
        StrategyError: for a chain with an answer and without log-probabilities.
    """
    told = [told_logprob(one, 'vote="confidence"') if one.prediction is not None else -math.inf for one in chains]
    return [math.exp(mean) for mean in told]
