"""With the network unplugged: no host is asked for anything but the model's own."""

import json
import os
import subprocess
import sys

import pytest

LISTEN = """
import json, sys
asked = set()

def hear(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg") and isinstance(arguments[-1], tuple):
        asked.add(tuple(arguments[-1][:2]))
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        asked.add(tuple(arguments[:2]))
    elif event in ("urllib.Request", "http.client.connect"):
        asked.add((event, str(arguments[0])))

sys.addaudithook(hear)
"""

WORK = """
import asyncio, pathlib
import dspy
import rtk
from rtk.testing import ScriptedServer

folder = pathlib.Path(sys.argv[1])
TEXT = "[[ ## reasoning ## ]]\\nso\\n[[ ## answer ## ]]\\n4\\n[[ ## completed ## ]]"
served = set()
for wire, prefixes in (("openai", ("openai", "hosted_vllm")), ("ollama", ("ollama_chat",))):
    for prefix in prefixes:
        for transport in ("direct", "litellm"):
            with ScriptedServer(TEXT, wire=wire, models=None) as server:
                host, _, port = server.url.partition("//")[2].partition("/")[0].partition(":")
                served.add((host, int(port)))
                lm = rtk.LM(f"{prefix}/unheard-of:1b", api_base=server.url, api_key="any", transport=transport)
                with dspy.context(lm=lm), rtk.recording(folder / f"{prefix}-{transport}.jsonl"):
                    vote = rtk.SelfConsistency("question -> answer", samples=4)
                    assert vote(question="2 + 2?").answer == "4"
                    dev = [dspy.Example(question=q, answer="4").with_inputs("question") for q in ("2 + 2?", "1 + 3?")]
                    score = dspy.Evaluate(devset=dev, metric=lambda e, p, t=None: p.answer == e.answer)(vote).score
                    assert score == 100
                    async def awaited(adapter):
                        with dspy.context(adapter=adapter):
                            return await dspy.ChainOfThought("question -> answer").acall(question="5 - 1?")
                    for adapter in (dspy.ChatAdapter(), dspy.XMLAdapter(), rtk.LinesAdapter()):
                        try:
                            asyncio.run(awaited(adapter))
                        except dspy.utils.exceptions.AdapterParseError:
                            pass  # what comes back is of one format only
                    with rtk.Budget(samples=100):
                        assert dspy.ChainOfThought("question -> answer")(question="0 + 4?").answer == "4"
                    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
                    lm("t", tools=[tool], n=2, logprobs=True) if transport == "direct" else lm("t", n=2)
for name in ("openai/gpt-4o-mini", "openai/unheard-of", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.0-flash",
             "huggingface/some/model", "ollama_chat/unheard-of:4b", "ollama/unheard-of:4b"):
    lm = rtk.LM(name)
    (lm._source.price, lm.supports_reasoning, lm.supports_function_calling, lm.supports_response_schema)
    (lm.supported_params, repr(lm))
task = rtk.tasks.load("arithmetic", size=4)
assert rtk.answers.equal("\\\\frac{1}{2}", "0.5", comparer="math")
rtk.Playground("question -> answer")
print(json.dumps([sorted(map(list, asked), key=str), sorted(map(list, served))]))
"""


def clean():
    """An environment in which nobody has told LiteLLM or DSPy to stay offline."""
    told = ("LITELLM_", "DSPY_", "OPENAI_", "OLLAMA_")
    return {name: value for name, value in os.environ.items() if not name.startswith(told)}


@pytest.mark.slow
def test_the_model_is_the_only_host(tmp_path):
    """Importing, drawing by both ways, prices, capabilities, votes, evaluations, recordings, the playground."""
    environment = {**clean(), "DSPY_CACHEDIR": str(tmp_path / "dspy"), "RTK_CACHE": str(tmp_path / "store")}
    command = [sys.executable, "-W", "ignore", "-c", LISTEN + WORK, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    asked, served = json.loads(done.stdout.splitlines()[-1])
    assert len(served) == 6
    assert [one for one in asked if one not in served] == []
    assert [one for one in served if one not in asked] == []
