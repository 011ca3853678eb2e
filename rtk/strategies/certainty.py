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
    tokens = told.get("content") if isinstance(told, Mapping) else None
    found = [token.get("logprob") for token in tokens or () if isinstance(token, Mapping)]
    numbers = [float(one) for one in found if isinstance(one, (int, float)) and math.isfinite(one) and one <= 0]
    return math.fsum(numbers) / len(numbers) if numbers else None


def certainties(chains: Sequence[Candidate]) -> list[float]:
    """A weight in (0, 1] for each chain: the geometric mean of its tokens' probabilities; 0 for an abstention.

    Raises:
        StrategyError: for a chain with an answer and without log-probabilities.
    """
    found = []
    for chain in chains:
        mean = mean_logprob(chain.sample) if chain.prediction is not None else -math.inf
        if mean is None:
            raise StrategyError(
                'vote="confidence" weighs chains by log-probabilities, and the model gave none',
                mend="ask lm.ping().logprobs, or `rtk doctor`, which models give them; or leave out vote=",
            )
        found.append(math.exp(mean))
    return found
