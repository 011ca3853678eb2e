"""A notebook that used a key, a header and an address, saved: none of them is in it, nor in what lies beside it."""

import itertools
import re

import nbformat
import pytest
from kernel import ThisInterpreter
from nbclient import NotebookClient

from rtk.testing import Reply, ScriptedServer

KEY, HEADER = "sk-sentinel-0123456789", "header-sentinel-abc"
CHAIN = "[[ ## reasoning ## ]]\nso\n\n[[ ## answer ## ]]\n4\n\n[[ ## completed ## ]]"
CELLS = """
import logging, os, sys
import dspy, rtk
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
recording = rtk.recording("study")
lm = rtk.LM(os.environ["MODEL"], api_base=os.environ["WHERE"], api_key=os.environ["KEY"], num_retries=1,
            headers={"X-Secret": os.environ["HEADER"]}, transport=os.environ["WAY"], timeout=20)
dspy.configure(lm=lm)
lm
---
vote = rtk.SelfConsistency("question -> answer", samples=3)
vote(question="fine?")
---
pred = vote(question="fine?")
print(pred, pred.deliberation, pred.spent, pred.toDict())
pred.deliberation
---
lm.history[-1]
---
dspy.inspect_history(n=3)
---
lm("refuse")
---
lm("broken")
---
lm("cut")
---
vote(question="now and then?")
---
rtk.sweep(vote, [dspy.Example(question="fine?", answer="4").with_inputs("question")],
          metric=lambda example, pred, trace=None: pred.answer == example.answer)
---
board = rtk.Playground(task=rtk.tasks.load("arithmetic", size=4))
display(board)
board.run()
board.wait(60)
---
dev = [dspy.Example(question=f"fine {i}?", answer="4").with_inputs("question") for i in range(3)]
dspy.Evaluate(devset=dev, metric=lambda e, p, t=None: p.answer == e.answer, display_table=True)(vote)
---
vote.save("program.json")
lm.store.export("out.jsonl")
replay = rtk.recording("study", mode="replay")
vote(question="something else")
---
replay.stop()
%xmode Verbose
lm("refuse again")
"""


def answering(server):
    """A script that fails in all ways, and says in each what it was told."""
    turns = itertools.count()

    def answer(received):
        said = received.messages[-1]["content"]
        told = f"{received.headers.get('authorization')} {received.headers.get('x-secret')} at {server[0].url}"
        if "refuse" in said:
            return Reply(f"refused: {told}", status=401)
        if "broken" in said:
            return Reply(body=f"<html>{told}</html>".encode())
        if "cut" in said:
            return Reply(told, cut=True)
        if "now and then" in said and next(turns) % 3:
            return Reply(f"busy: {told}", status=500)
        return CHAIN

    return answer


@pytest.mark.slow
@pytest.mark.parametrize("wire", ["openai", "ollama"])
@pytest.mark.parametrize("way", ["direct", "litellm"])
def test_no_secret_is_in_a_notebook(tmp_path, monkeypatch, wire, way):
    """Votes, histories, refusals with tracebacks, the playground, tables, logs of everything: shown and saved."""
    held = []
    with ScriptedServer(answering(held), wire=wire, api_key=None) as server:
        held.append(server)
        model = "openai/scripted" if wire == "openai" else "ollama_chat/scripted"
        secrets = {"KEY": KEY, "HEADER": HEADER, "WHERE": server.url}
        for name, value in {**secrets, "MODEL": model, "WAY": way}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("RTK_CACHE", str(tmp_path / "samples"))
        monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
        cells = [nbformat.v4.new_code_cell(source.strip()) for source in CELLS.split("---")]
        notebook = nbformat.v4.new_notebook(cells=cells)
        client = NotebookClient(
            notebook, timeout=300, allow_errors=True, resources={"metadata": {"path": str(tmp_path)}},
            kernel_manager_class="jupyter_client.manager.AsyncKernelManager",
        )  # fmt: skip
        client.km = client.create_kernel_manager()
        client.km.kernel_spec_manager = ThisInterpreter()
        client.execute()
        assert server.requests[0].headers["x-secret"] == HEADER
    nbformat.write(notebook, tmp_path / "study.ipynb")
    shown = (tmp_path / "study.ipynb").read_text("utf-8")
    failed = [i for i, cell in enumerate(cells) if any(output.output_type == "error" for output in cell.outputs)]
    assert failed == [5, 6, 7, 12, 13]
    assert re.search("refused: .*… at …", shown)
    assert "rtk-static" in shown
    assert way == "direct" or "LiteLLM" in shown  # its own logs are there too
    words = [KEY, HEADER, server.url.partition("//")[2].partition("/")[0]]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"study.ipynb", "study.jsonl", "out.jsonl", "program.json", "cache.db"} <= {path.name for path in files}
    assert {(path.name, word) for path in files for word in words if word.encode() in path.read_bytes()} == set()
