"""Forks, as `multiprocessing` makes them: on every way to a model, child and parent both go on with the same LM."""

import os
import subprocess
import sys

import pytest
from serving import numbered

from rtk.models import weights
from rtk.testing import ScriptedServer

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system"),
    pytest.mark.slow,
]

POOLED = """
import multiprocessing, sys, warnings
warnings.simplefilter("ignore")
import dspy, rtk

way, url = sys.argv[1:]
if way == "embedded":
    lm = rtk.LM("embedded", max_tokens=4, slots=2, context=256)
elif way == "wrapped":
    lm = rtk.LM.of(dspy.LM("openai/scripted", api_base=url, api_key="any", cache=False))
else:
    lm = rtk.LM("ollama_chat/scripted" if way == "ollama" else "openai/scripted", api_base=url, api_key="any",
                transport="litellm" if way == "litellm" else "auto", server_n=None if way == "openai" else False)

def work(number):
    return lm(f"child {number}", n=2)

before = lm("parent", n=2)
with multiprocessing.get_context("fork").Pool(2) as pool:
    told = pool.map(work, range(4))
after = lm("parent", n=4)
assert after[:2] == before, (before, after)
assert [lm(f"child {number}", n=2) for number in range(4)] == told
print(len(told), lm.store.count())
"""


def pooled(way, url=""):
    """What the script prints to both streams."""
    done = subprocess.run([sys.executable, "-c", POOLED, way, url], capture_output=True, text=True, timeout=300)
    return done.stdout.split(), done.stderr


@pytest.mark.parametrize("way", ["openai", "ollama", "litellm", "wrapped"])
def test_a_pool_of_forked_workers_draws_and_so_does_the_parent_again(way):
    """Parent, two workers and the parent once more, over kept connections: each sample once, not a word on stderr, and
    nobody waits for ever."""
    with ScriptedServer(numbered(), wire="ollama" if way == "ollama" else "openai") as server:
        assert pooled(way, server.url) == (["4", "12"], "")
        assert server.choices_served == 12


@pytest.mark.embedded
def test_a_forked_worker_has_an_engine_of_its_own():
    """And the parent keeps its."""
    weights.require()
    assert pooled("embedded") == (["4", "12"], "")
