"""`NotRecorded`: a replay says what it lacks, and how the nearest recorded request differs. No secret is in a file."""

import gzip
import json
import re
from importlib.metadata import version

import dspy
import pytest
from serving import QUESTION, Anything, numbered, over

import rtk
from rtk.errors import EndpointError, NotRecorded, RTKError
from rtk.testing import Reply, ScriptedServer

pytestmark = pytest.mark.usefixtures("nothing_in_force")


@pytest.fixture
def server():
    with ScriptedServer(numbered()) as running:
        yield running


def record(server, *questions, **settings):
    with rtk.recording("study"):
        for question in questions:
            over(server, **settings)(question, n=3)


def lacking(ask, model="openai/scripted", **settings):
    """The message of a replay that lacks what is asked for."""
    lm = rtk.LM(model, api_base="http://127.0.0.1:9/v1", api_key="none", **settings)
    with pytest.raises(NotRecorded) as caught, rtk.recording("study", mode="replay"):
        ask(lm)
    assert caught.value.mend == "mode='auto' draws it and adds it: rtk.recording('study')"
    return str(caught.value)


# --- what it says ---


def test_an_index_beyond_what_is_held(server):
    """The model, the index, and how many there are."""
    record(server, QUESTION)
    told = lacking(lambda lm: lm(QUESTION, n=5))
    assert told.startswith("rtk.recording('study', mode='replay'): sample 3 of stream 0 of a request to "
                           "'openai/scripted' (")  # fmt: skip
    assert told.endswith("is not recorded. Of this request and stream it holds 3 samples, the last at index 2.")


def test_one_sample_is_one_sample(server):
    """In words."""
    with rtk.recording("study"):
        over(server)(QUESTION)
    assert "it holds 1 sample, the last at index 0." in lacking(lambda lm: lm(QUESTION, n=2))


def test_another_stream(server):
    """Those that are held."""
    record(server, QUESTION)
    told = lacking(lambda lm: lm(QUESTION, rollout_id=4))
    assert "sample 0 of stream 0~4 " in told
    assert told.endswith("Of this request it holds samples of stream 0.")


def test_a_request_of_which_nothing_came():
    """It holds what did not come, and nothing else."""
    with ScriptedServer(Reply("no", status=400)) as server, pytest.raises(RTKError), rtk.recording("study"):
        over(server)(QUESTION)
    assert lacking(lambda lm: lm(QUESTION, n=2)).endswith("Of this request it holds no sample, only what did not come.")


def test_another_question(server):
    """The nearest of those recorded, from a little before the place where the two part."""
    record(server, "What is 2 + 2?", "Name a colour.", "What is the capital of France, and since when?")
    told = lacking(lambda lm: lm("What is the capital of Spain, and since when?"))
    assert re.search(
        r"The nearest recorded request \([0-9a-f]{12}\) differs in messages\[0\]\.content: "
        r"recorded '….* capital of France, and.*', asked '….* capital of Spain, and.*'\.$",
        told,
    )


@pytest.mark.parametrize(
    ("settings", "differs"),
    [
        ({"temperature": 0.2}, "options.temperature: recorded 0.7, asked 0.2"),
        ({"temperature": 0}, "options.temperature: recorded 0.7, asked 0"),
        ({"model": "openai/other"}, "model: recorded 'openai/scripted', asked 'openai/other'"),
        ({"revision": "2"}, "identity.revision: recorded nothing, asked '2'"),
        ({"max_tokens": 9}, "options.max_tokens: recorded nothing, asked 9"),
        ({"stop": ["a", "b"]}, "options.stop[0]: recorded nothing, asked 'a'; options.stop[1]: recorded nothing"),
        ({"logprobs": True}, "options.logprobs: recorded nothing, asked True"),
    ],
    ids=str,
)
def test_another_setting(server, settings, differs):
    """Both sides of it."""
    record(server, QUESTION, "Another question, far away?")
    assert f" differs in {differs}" in lacking(lambda lm: lm(QUESTION), **settings)


def test_a_setting_that_was_recorded_and_is_not_asked(server):
    """Seen from the other side."""
    record(server, QUESTION, max_tokens=9, top_p=0.5, presence_penalty=1, frequency_penalty=1)
    told = lacking(lambda lm: lm(QUESTION))
    assert "recorded 1, asked nothing; options.max_tokens: recorded 9, asked nothing; " in told
    assert told.endswith("; and 1 more.")


def test_the_order_of_fields_is_a_difference(server):
    """A model fills a schema in as it stands, so another order is another request."""

    def schema(*names):
        properties = {name: {"type": "string"} for name in names}
        return {"type": "json_schema", "json_schema": {"name": "x", "schema": {"properties": properties}}}

    record(server, QUESTION, response_format=schema("a", "b"))
    assert "differs in nothing but empty fields, or their order." in lacking(
        lambda lm: lm(QUESTION, response_format=schema("b", "a"))
    )


def test_another_adapter(server):
    """It writes other prompts: both are named, and what they differ in."""
    with dspy.context(lm=over(server), adapter=Anything()), rtk.recording("study"):
        dspy.Predict("question -> answer")(question="?")

    def ask(lm):
        with dspy.context(lm=lm, adapter=dspy.JSONAdapter()):
            dspy.Predict("question -> answer")(question="?")

    told = lacking(ask)
    here = f"DSPy {version('dspy')}"
    assert f"It was recorded with {here} and Anything, and this is {here} and JSONAdapter: they write other" in told
    assert "differs in messages[0].content" in told


def test_another_version_of_dspy(server, tmp_path):
    """The file's first line says which one wrote its prompts."""
    record(server, QUESTION)
    file = tmp_path / "study.jsonl"
    head, _, rest = file.read_text("utf-8").partition("\n")
    file.write_text(json.dumps({**json.loads(head), "dspy": "3.0.0"}) + "\n" + rest, "utf-8")
    told = lacking(lambda lm: lm("another"))
    assert f"It was recorded with DSPy 3.0.0 and ChatAdapter, and this is DSPy {version('dspy')} and ChatAd" in told
    assert "versions" not in lacking(lambda lm: lm(QUESTION, n=4))


def test_nothing_at_all(tmp_path):
    """An empty recording says so."""
    (tmp_path / "study.jsonl").write_text('{"rtk_recording":1,"adapters":[],"dspy":"3","rtk":"0"}\n', "utf-8")
    assert lacking(lambda lm: lm(QUESTION)).endswith("is not recorded. Nothing is recorded.")


def test_long_texts_are_shown_in_part(server):
    """However long the prompts."""
    record(server, "x" * 5000 + "a" + "y" * 5000)
    told = lacking(lambda lm: lm("x" * 5000 + "b" + "y" * 5000))
    assert len(told) < 600
    assert "xxxay" in told
    assert "xxxby" in told


def test_what_was_missed_is_counted(server):
    """By every ask that was not answered."""
    record(server, QUESTION)
    with rtk.recording("study", mode="replay") as recording:
        for index in range(3):
            with pytest.raises(NotRecorded):
                over(server)(f"{index}")
        assert recording.missed == 3
        over(server)(QUESTION)
    assert recording.missed == 3
    assert server.choices_served == 3


async def test_an_awaited_call_says_the_same(server):
    """As the sync one."""
    record(server, QUESTION)
    with rtk.recording("study", mode="replay"), pytest.raises(NotRecorded) as awaited:
        await over(server).acall(QUESTION, n=9)
    assert str(awaited.value) == lacking(lambda lm: lm(QUESTION, n=9))


def test_what_is_not_recorded_holds_no_place_in_a_budget(server):
    """An error that a program survives leaves the budget to what is recorded."""
    record(server, QUESTION)
    budget = rtk.Budget(samples=3)
    with rtk.recording("study", mode="replay"), budget:
        for _ in range(3):
            with pytest.raises(NotRecorded):
                over(server)("another")
        assert len(over(server)(QUESTION, n=3)) == 3
    assert budget.spent.samples == 3


# --- no secret ---

KEY, HEADER = "sk-sentinel-0123456789", "header-sentinel-abc"


@pytest.mark.parametrize("wire", ["openai", "ollama"])
@pytest.mark.parametrize("transport", ["direct", "litellm"])
@pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 500])
@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_no_secret_is_in_the_file(wire, transport, status, suffix, tmp_path, no_waiting):
    """No key, header, endpoint or port, whatever the server says of them in its refusals."""

    def refuse(received):
        told = f"{received.headers.get('authorization')} {received.headers['x-secret']} at {server.url}"
        return Reply("fine" if status == 200 or "fine" in received.last else f"refused: {told}",
                     status=200 if "fine" in received.last else status)  # fmt: skip

    with ScriptedServer(refuse, wire=wire) as server:
        lm = over(server, transport=transport, api_key=KEY, headers={"X-Secret": HEADER}, num_retries=0, timeout=77)
        with rtk.recording(tmp_path / f"study{suffix}") as recording:
            lm("fine?", n=2)
            if status != 200:
                with pytest.raises(RTKError):
                    lm(QUESTION, n=2)
        assert all(received.headers["x-secret"] == HEADER for received in server.requests)
        port = server.url.removesuffix("/v1").rpartition(":")[2]
        whole = recording.path.read_bytes()
        text = (gzip.decompress(whole) if suffix.endswith("gz") else whole).decode()
    secrets = [KEY, HEADER, server.url, "127.0.0.1", f":{port}", "refused", "timeout"]
    assert [secret for secret in secrets if secret in text] == []
    assert ('"missing":"status_' in text) is (status in (400, 429, 500))


def test_no_secret_is_in_what_a_replay_says(server):
    """Its error names the request, not the way to the model."""
    record(server, QUESTION)
    with rtk.recording("study", mode="replay"), pytest.raises(NotRecorded) as caught:
        over(server, api_key=KEY, headers={"X-Secret": HEADER})("another")
    told = str(caught.value) + str(caught.value.__notes__)
    assert [secret for secret in (KEY, HEADER, server.url, "127.0.0.1") if secret in told] == []
    server.stop()
    with rtk.recording("study"), pytest.raises(EndpointError) as caught:
        over(server, api_key=KEY, headers={"X-Secret": HEADER}, num_retries=0)("another")
    assert [secret for secret in (KEY, HEADER, server.url) if secret in str(caught.value.__notes__)] == []
