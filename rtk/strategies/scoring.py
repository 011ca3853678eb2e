"""Scoring: one score of an `rtk.Endpoint`, as `Sampling` is for the completions of a predictor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dspy

from rtk.answers import Abstention
from rtk.errors import ModelError, StrategyError
from rtk.models import Ask, Endpoint, Gathered
from rtk.samples import Sample, Stream
from rtk.strategies.flow import AskFor, Candidate
from rtk.strategies.sampling import Prepared, Sampling


def prepared(wanted: AskFor, predictor: Any) -> Prepared:
    """What was asked of an endpoint, or of a flat program with its predictor, ready to be drawn from."""
    if isinstance(wanted.program, Endpoint):
        return Scoring(wanted.program, wanted.inputs, wanted.config)
    return Sampling(wanted.program, predictor, wanted.inputs, wanted.config)


class Scoring(Prepared):
    """One endpoint with a question and an answer, ready to be drawn from.

    Args:
        endpoint: the endpoint.
        inputs: `question` and `answer`.
        config: must be empty: a score has no sampling parameters.

    Raises:
        StrategyError: for parameters.
        ModelError: for other inputs.
    """

    def __init__(self, endpoint: Endpoint, inputs: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        if config:
            raise StrategyError(
                f"config= reaches a predictor, and a score takes no {', '.join(config)}", mend="leave it out"
            )
        self._endpoint, self._inputs = endpoint, dict(inputs)
        self.request = endpoint.request(inputs)
        super().__init__([endpoint], self._inputs)

    def key(self) -> str:
        """The key of the request."""
        return self.request.key

    def ask(self, start: int, count: int, stream: Stream) -> Ask:
        """The ask for the score, in a stream."""
        return self._endpoint.ask(self._inputs, start=start, count=count, stream=stream)

    def record(self, ask: Ask, gathered: Gathered) -> None:
        """Tell DSPy's usage tracker what was drawn."""
        self._endpoint.record(gathered)

    def read(self, found: Candidate, sample: Sample) -> None:
        """Read a score."""
        try:
            found.prediction = dspy.Prediction(score=self._endpoint.score(sample))
        except ModelError as error:
            found.abstention = Abstention("malformed", str(error))
