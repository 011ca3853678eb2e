"""Scoring: what `Sampling` is for a predictor, for an `rtk.Endpoint`: one score, ready to be drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dspy

from rtk.answers import Abstention
from rtk.errors import BudgetSpent, ModelError, StrategyError
from rtk.models import Ask, Endpoint, Gathered
from rtk.samples import Missing, Sample, Stream
from rtk.strategies.calls import Calls
from rtk.strategies.flow import AskFor, Candidate, Candidates
from rtk.strategies.sampling import Sampling


def prepared(wanted: AskFor, predictor: Any) -> Sampling | Scoring:
    """What was asked of an endpoint, or of a flat program with its predictor, ready to be drawn from."""
    if isinstance(wanted.program, Endpoint):
        return Scoring(wanted.program, wanted.inputs, wanted.config)
    return Sampling(wanted.program, predictor, wanted.inputs, wanted.config)


class Scoring:
    """One endpoint with a question and an answer, ready to be drawn from.

    Args:
        endpoint: the endpoint.
        inputs: `question` and `answer`.
        config: must be empty: a score has no sampling parameters.

    Raises:
        StrategyError: for parameters.
        ModelError: for other inputs.
    """

    predictor = None  # a score is no text that anybody listens to

    def __init__(self, endpoint: Endpoint, inputs: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        if config:
            raise StrategyError(
                f"config= reaches a predictor, and a score takes no {', '.join(config)}", mend="leave it out"
            )
        self._endpoint, self._inputs = endpoint, dict(inputs)
        self.request = endpoint.request(inputs)
        self.calls = Calls([endpoint], self._inputs)

    def key(self) -> str:
        """The key of the request."""
        return self.request.key

    def ask(self, start: int, count: int, stream: Stream) -> Ask:
        """The ask for the score, in a stream."""
        return self._endpoint.ask(self._inputs, start=start, count=count, stream=stream)

    def early(self, ask: Ask, came: Sample | Missing) -> list[tuple[int, Candidate]]:
        """A score that came, as the candidates it is, with their indices."""
        places = [index for index, address in enumerate(ask.addresses) if address == came.address]
        return [(index, self._candidate(index, came)) for index in places]

    def candidates(self, ask: Ask, gathered: Gathered) -> Candidates:
        """The score, as often as it was asked for, as candidates with a `score`."""
        self._endpoint.record(gathered)
        found = Candidates(self._candidate(index, result) for index, result in enumerate(gathered.results))
        if gathered.stopped:
            found.cut = BudgetSpent(gathered.stopped, gathered.budget, gathered.samples)
        self.calls.ends(next((one.prediction for one in found if one.prediction is not None), None))
        return found

    def failed(self, error: BaseException) -> None:
        """The call failed as a whole: tell the callbacks."""
        self.calls.ends(None, error)

    def _candidate(self, index: int, result: Sample | Missing) -> Candidate:
        where = frozenset({str(result.address)})
        if isinstance(result, Missing):
            return Candidate(index, abstention=Abstention("failed", str(result)), addresses=where)
        found = Candidate(index, sample=result, seconds=result.usage.seconds, addresses=where)
        try:
            found.prediction = dspy.Prediction(score=self._endpoint.score(result))
        except ModelError as error:
            found.abstention = Abstention("malformed", str(error))
        return found
