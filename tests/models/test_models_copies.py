"""Copies of an LM, LMs in saved programs, and other LMs wrapped into one."""

import copy
import threading

import dspy
import pytest
from dspy.utils import DummyLM
from serving import QUESTION, key, numbered, over

import rtk
from rtk.errors import SampleError, UnsupportedParameter
from rtk.testing import Reply, ScriptedServer


@pytest.fixture
def server():
    with ScriptedServer(numbered()) as running:
        yield running


# --- copies ---


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda lm: lm.copy()], ids=["copy", "deepcopy", "lm.copy"])
def test_a_copy_shares_connection_store_and_flights(server, how):
    """What one drew the other has, and what one sets the other does not see."""
    lm = over(server, price=(1, 2))
    twin = how(lm)
    assert (type(twin), twin.model, twin.store) == (rtk.LM, lm.model, lm.store)
    texts = lm(QUESTION, n=2)
    assert twin(QUESTION, n=2) == texts
    assert server.choices_served == 2


def test_a_copy_has_other_defaults():
    """As DSPy's optimizers make them: another temperature, a rollout, a count."""
    with ScriptedServer(numbered()) as server:
        lm = over(server)
        hot = lm.copy(temperature=1.0, rollout_id=3, n=2)
        assert len(hot(QUESTION)) == 2
        assert (lm.kwargs["temperature"], hot.kwargs["temperature"]) == (0.7, 1.0)
        assert key(hot) == key(lm, temperature=1.0)
        assert lm(QUESTION, temperature=1.0) == ["reply 2"]
        assert hot.history is not lm.history


@pytest.mark.parametrize(
    "setting",
    [
        {"model": "openai/other"},
        {"store": "elsewhere"},
        {"revision": "2"},
        {"price": (1, 1)},
        {"transport": "litellm"},
        {"concurrency": 2},
        {"server_n": True},
        {"num_retries": 0},
        {"engine": "lm15"},
    ],
    ids=str,
)
def test_a_copy_is_over_the_same_model(server, setting):
    """What would need another model, connection or store is refused rather than ignored."""
    with pytest.raises(UnsupportedParameter, match="cannot differ on a copy") as caught:
        over(server).copy(**setting)
    assert "rtk.LM(" in caught.value.mend


def test_a_program_is_copied_with_its_lm(server):
    """DSPy's `deepcopy` and `reset_copy` of a program keep the LM usable, without a warning."""
    program = dspy.ChainOfThought("question -> answer")
    program.set_lm(over(server))
    for twin in (program.deepcopy(), program.reset_copy()):
        twin.set_lm(program.get_lm())
        assert twin.get_lm()(QUESTION) == ["reply 0"]
    assert program.deepcopy().get_lm().store is program.get_lm().store


# --- saving ---


def test_a_saved_program_brings_its_lm_back(server, tmp_path, monkeypatch):
    """With settings and without connection: the environment, or whoever loads it, says where the model is."""
    program = dspy.Predict("question -> answer")
    program.lm = over(server, max_tokens=5, stop=["END"], revision="r1", server_n=False, price=(1, 2), concurrency=3)
    program.save(tmp_path / "program.json")
    monkeypatch.setenv("OPENAI_API_BASE", server.url)
    loaded = dspy.Predict("question -> answer")
    loaded.load(tmp_path / "program.json", allow_unsafe_lm_state=True)
    assert type(loaded.lm) is rtk.LM
    assert loaded.lm.dump_state() == program.lm.dump_state()
    assert key(loaded.lm) == key(program.lm)
    assert loaded.lm(QUESTION, n=2) == program.lm(QUESTION, n=2) == ["reply 0", "reply 1"]
    assert [received.n for received in server.requests] == [1, 1]


def test_dspy_refuses_to_load_a_class_of_ours_without_being_told(server, tmp_path):
    """Its own guard: a saved program does not choose which code runs."""
    program = dspy.Predict("question -> answer")
    program.lm = over(server)
    program.save(tmp_path / "program.json")
    with pytest.raises(ValueError, match="Refusing to import"):
        dspy.Predict("question -> answer").load(tmp_path / "program.json")


def test_state_says_no_more_than_was_set():
    """Defaults are not written down, so that a later rtk's may be better."""
    state = rtk.LM("openai/x", api_base="http://127.0.0.1:1/v1").dump_state()
    assert state.keys() == {"_dspy_lm_class", "model", "model_type", "cache", "num_retries", "temperature"}


# --- other LMs, wrapped ---


def test_an_rtk_lm_is_not_wrapped(server):
    """It is what it would become."""
    lm = over(server)
    assert rtk.LM.of(lm) is lm


@pytest.mark.parametrize("prefix", ["openai", "hosted_vllm"])
def test_a_dspy_lm_gets_addresses_and_a_store(server, prefix):
    """It makes the calls, one for each sample, and each is drawn once; its own settings are the request's."""
    plain = dspy.LM(f"{prefix}/scripted", api_base=server.url, api_key="any", cache=False, max_tokens=7)
    lm = rtk.LM.of(plain)
    assert lm(QUESTION, n=2) == lm(QUESTION, n=4)[:2]
    assert len(set(lm(QUESTION, n=4))) == 4
    assert server.choices_served == 4
    assert lm.ask([{"role": "user", "content": QUESTION}], {}).request.options == {"max_tokens": 7, "temperature": 0.7}
    assert {received.body["temperature"] for received in server.requests} == {0.7}


def test_dspys_own_cache_gives_n_samples_and_not_one(server):
    """An LM that caches is asked under a rollout_id of each sample's own."""
    plain = dspy.LM("openai/scripted", api_base=server.url, api_key="any", cache=True)
    assert len(set(rtk.LM.of(plain)(QUESTION, n=4))) == 4


def test_a_wrapped_lms_calls_fly_side_by_side(server):
    """`concurrency=` of them, where DSPy alone would make one after the other."""
    lm = rtk.LM.of(dspy.LM("openai/scripted", api_base=server.url, api_key="any", cache=False), concurrency=6)
    with server.hold():
        asking = threading.Thread(target=lm, args=(QUESTION,), kwargs={"n": 6})
        asking.start()
        server.wait_for(lambda s: s.held == 6)
        server.release()
        asking.join(300)
    assert lm.store.count() == 6


def test_a_dummy_lm_gives_its_replies_in_order():
    """A scripted LM of DSPy's stays scripted: one call at a time, in index order."""
    dummy = DummyLM([{"answer": str(number)} for number in range(9)])
    with dspy.context(lm=rtk.LM.of(dummy)):
        predict = dspy.Predict("question -> answer")
        four = predict(question="?", config={"n": 4})
        again = predict(question="?", config={"n": 5})
    assert four.completions.answer == ["0", "1", "2", "3"]
    assert again.completions.answer == ["0", "1", "2", "3", "4"]
    assert len(dummy.history) == 5


def test_a_wrapped_lm_that_fails_is_one_error():
    """DSPy's error of the sample is its kind, and DSPy has asked again already."""
    with ScriptedServer(Reply("no such field", status=400)) as server:
        plain = dspy.LM("openai/scripted", api_base=server.url, api_key="any", cache=False)
        with pytest.raises(SampleError) as caught:
            rtk.LM.of(plain)(QUESTION, n=2)
    assert caught.value.kind.startswith("LM")


def test_a_wrapped_lm_tells_its_own_usage_and_history(server):
    """Once for each sample drawn, to whoever tracks; reused samples cost nothing again."""
    plain = dspy.LM("openai/scripted", api_base=server.url, api_key="any", cache=False)
    lm = rtk.LM.of(plain)
    with dspy.track_usage() as tracker:
        lm(QUESTION, n=3)
        lm(QUESTION, n=3)
    [total] = tracker.get_total_tokens().values()
    assert (total["prompt_tokens"], total["completion_tokens"]) == (15, 6)
    assert len(plain.history) == 3


def test_a_wrapped_reasoning_model_keeps_its_settings():
    """What DSPy calls max_completion_tokens there is the same bound."""
    lm = rtk.LM.of(dspy.LM("openai/gpt-5", temperature=1.0, max_tokens=20_000))
    assert lm.kwargs["max_completion_tokens"] == 20_000
    assert lm.kwargs["temperature"] == 1.0


def test_a_wrapped_lm_is_saved_as_what_it_wraps():
    """The wrapping is how it is used; what is loaded can be wrapped again."""
    plain = dspy.LM("openai/gpt-4o-mini", temperature=0.5)
    assert rtk.LM.of(plain).dump_state() == plain.dump_state()


@pytest.mark.parametrize("engine", ["lm15", "litellm"])
def test_a_wrapped_lm_says_why_a_completion_ended(engine):
    """What another LM cut off is stored as cut off, whichever engine it uses."""
    with ScriptedServer(Reply("and so on", finish_reason="length")) as server:
        plain = dspy.LM("openai/scripted", api_base=server.url, api_key="any", cache=False, engine=engine)
        lm = rtk.LM.of(plain)
        lm(QUESTION)
    (address,) = lm.store.addresses()
    assert lm.store.read(address.key, address.stream)[address.index].finish_reason == "length"
