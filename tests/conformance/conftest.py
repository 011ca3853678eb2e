"""What every conformance test is given: an engine that runs, and no waiting between attempts."""

import itertools

import pytest
from engines import running

from rtk.models.retries import Retries


@pytest.fixture
def site(request):
    """The engine of the test's parameter; a scripted one gives replies that no two requests share."""
    replies = (f"réponse {number} ✓" for number in itertools.count())
    with running(request.param, replies) as site:
        yield site


@pytest.fixture
def at_once(monkeypatch):
    """Failed requests are asked again at once; what the server asked to wait is noted."""
    asked = []

    def wait(self, attempt, wanted=None, *rest):
        asked.append(wanted)
        return 0.0

    monkeypatch.setattr(Retries, "wait", wait)
    return asked
