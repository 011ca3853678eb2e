"""What tests in a browser share: chromium and a JupyterLab for each module, and a picture of what failed.

Playwright's sync API keeps an event loop running in the thread that started it, where no async test can run as long
as it does: so chromium ends with its module (it starts in half a second), and a module that uses it has no async tests.
"""

import re
import shutil

import pytest
from lab import ARTIFACTS, Lab

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="module")
def browser():
    """Debian's chromium, headless, with a profile of its own."""
    from playwright.sync_api import sync_playwright  # here, so that machines without it can skip these tests

    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    assert path, "no chromium on this machine: apt-get install chromium"
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=path, args=FLAGS) as chromium:
        yield chromium


@pytest.fixture(scope="module")
def lab_env():
    """What the module's JupyterLab has in its environment beside this process's; a module may define its own."""
    return {}


@pytest.fixture(scope="module")
def running_lab(browser, lab_env, tmp_path_factory):
    """The module's JupyterLab, in a folder of its own."""
    with Lab(tmp_path_factory.mktemp("lab"), browser, env=lab_env) as lab:
        yield lab


@pytest.fixture
def lab(running_lab, request):
    """The module's JupyterLab, with nothing open and no kernel; what failed there is kept in `artifacts/`."""
    yield running_lab
    try:
        if request.node.stash.get(FAILED, False):
            _keep(running_lab, re.sub(r"[^\w.-]+", "-", request.node.name))
    finally:
        running_lab.close()


def _keep(lab, name):
    ARTIFACTS.mkdir(exist_ok=True)
    for number, notebook in enumerate(lab.opened, 1):
        stem = f"FAILED-{name}" if number == 1 else f"FAILED-{name}-{number}"
        said = "\n".join(notebook.messages)
        (ARTIFACTS / f"{stem}.txt").write_text(f"The page said:\n{said}\n\nThe server said:\n{lab.log}", "utf-8")
        notebook.screenshot(stem)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Note that a test failed, for the fixtures that end after it."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report
