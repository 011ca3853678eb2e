"""What the tests of benchmarks share."""

import pytest
from running import FOLDER


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """The benchmarks' folder is on the path, as where one of them is run."""
    monkeypatch.syspath_prepend(str(FOLDER))
