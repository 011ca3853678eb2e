"""What holds for the tests of the models: no test sleeps between two attempts unless it says so."""

import pytest

from rtk.models.retries import Retries


@pytest.fixture
def no_waiting(monkeypatch):
    """Failed requests are asked again at once."""
    monkeypatch.setattr(Retries, "wait", lambda *_: 0.0)
