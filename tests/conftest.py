"""What holds for every test: a store of its own, no way off this machine, and a word on what is skipped and why."""

import importlib.util
import os
import shutil
import socket
import tempfile

import hypothesis
import pytest

# Read by DSPy and LiteLLM while they are imported: no disk cache of theirs, no price list from the network.
_dspy_cache = tempfile.TemporaryDirectory(prefix="rtk-tests-")
os.environ["DSPY_CACHEDIR"] = _dspy_cache.name
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

hypothesis.settings.register_profile("rtk", deadline=None, print_blob=True, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("rtk")

LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0")


@pytest.fixture(autouse=True)
def own_store(tmp_path_factory, monkeypatch):
    """The default store of each test lies in a folder of its own."""
    folder = tmp_path_factory.mktemp("samples")
    monkeypatch.setenv("RTK_CACHE", str(folder))
    return folder


@pytest.fixture
def nothing_in_force(tmp_path, monkeypatch):
    """The test works in a folder of its own, under no recording, and leaves none in force."""
    from rtk.store import current_recording

    monkeypatch.delenv("RTK_RECORDING", raising=False)
    monkeypatch.chdir(tmp_path)
    yield
    while (standing := current_recording()) is not None:
        standing.stop()


@pytest.fixture(autouse=True, scope="session")
def loopback_only():
    """A connection to any other machine is refused at once, also from rtk's own threads."""
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def refuse(host):
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and not str(name).startswith(LOOPBACK):
            raise ConnectionRefusedError(f"tests stay on this machine, and this one asked for {name!r}")

    def checked(call):
        def only_here(self, address):
            if self.family in (socket.AF_INET, socket.AF_INET6):
                refuse(address[0])
            return call(self, address)

        return only_here

    def looked_up(host, *args, **kwargs):
        refuse(host)
        return getaddrinfo(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", checked(connect))
        patch.setattr(socket.socket, "connect_ex", checked(connect_ex))
        patch.setattr(socket, "getaddrinfo", looked_up)
        yield


def pytest_collection_modifyitems(items):
    """Skip what this machine cannot run; in CI nothing may be skipped."""
    for marker, missing in (("embedded", _without_embedded), ("browser", _without_browser)):
        marked = [item for item in items if item.get_closest_marker(marker)]
        reason = missing() if marked else None
        for item in marked if reason else ():
            item.add_marker(pytest.mark.skip(reason=reason))


def _without_embedded():
    from rtk.errors import MissingExtra
    from rtk.models import weights

    if "CI" in os.environ:
        return None
    try:
        __import__("xllamacpp")
        found = weights.find()
    except (ImportError, MissingExtra):
        return "the embedded engine is not installed: pip install -e '.[test]'"
    return None if found else "the embedded model's weights are not here: rtk model get"


def _without_browser():
    if "CI" in os.environ:
        return None
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed: pip install -e '.[test]'"
    if any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        return None
    return "no chromium on this machine"
