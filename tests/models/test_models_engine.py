"""The embedded engine: one quiet server for each file of weights, shared, forked and closed without a trace."""

import json
import os
import shutil
import struct
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

import rtk
from rtk.errors import EngineError, MissingExtra, WeightsError
from rtk.models import weights
from rtk.models.engine import NEUTRAL_SAMPLING, engine

embedded = pytest.mark.embedded


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The embedded model's weights under a name of this file's own, since other tests may run an engine on them too."""
    pytest.importorskip("xllamacpp", reason="the embedded engine is not installed (extra `local`)")
    if weights.find() is None:
        pytest.skip("the embedded model's weights are not here: rtk model get")
    own = tmp_path_factory.mktemp("weights") / "own.gguf"
    shutil.copyfile(weights.require(), own)
    return own


@pytest.fixture(scope="module")
def running(path):
    """An engine with four slots."""
    started = engine(path, slots=4, context=512)
    yield started
    started.close()


def ask(running, key=None, **fields):
    """One chat request; the reply."""
    body = {"messages": [{"role": "user", "content": "Name a colour."}], "max_tokens": 12, **NEUTRAL_SAMPLING, **fields}
    request = urllib.request.Request(
        f"{running.url}/chat/completions",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {key or running.api_key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=300) as reply:
        return json.load(reply)


def text(reply):
    return reply["choices"][0]["message"]["content"]


def fake_gguf(place, layers=0):
    """A file with a GGUF's head, a claim about its layers, and no tensors."""
    facts = {"llama.block_count": layers, "llama.embedding_length": 4096, "llama.attention.head_count": 32}

    def named(word):
        return struct.pack("<Q", len(word)) + word.encode()

    kind = named("general.architecture") + struct.pack("<I", 8) + named("llama")
    tags = named("general.tags") + struct.pack("<IIQ", 9, 8, 1) + named("tag")
    numbers = b"".join(named(key) + struct.pack("<II", 4, value) for key, value in facts.items())
    place.write_bytes(struct.pack("<4sIQQ", b"GGUF", 3, 0, 2 + len(facts)) + kind + tags + numbers)
    return place


@embedded
def test_one_engine_a_file_however_many_ask(path, running):
    """Callers on many threads, asking for as much or less, share one engine."""
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda slots: engine(path, slots=slots, context=256), [1, 2, 3, 4]))
    assert all(each is running for each in found)
    assert running.sha256 == weights.known_sha256()


@embedded
def test_more_slots_than_there_are_start_a_larger_engine_beside(path, running):
    """Who asks for more gets more; who holds the smaller one keeps it."""
    larger = engine(path, slots=5, context=256)
    try:
        assert larger is not running
        assert (larger.slots, larger.context) == (5, 512)
        assert engine(path, slots=5, context=64) is larger
        assert engine(path, slots=1, context=64) is running
        assert ask(running, max_tokens=1)["choices"]
    finally:
        larger.close()


@embedded
def test_one_request_gives_as_many_different_samples_as_there_are_slots(running):
    """`n` is honoured up to the slots, and refused beyond them."""
    reply = ask(running, n=4, seed=1, temperature=1.0)
    assert len({choice["message"]["content"] for choice in reply["choices"]}) == 4
    with pytest.raises(urllib.error.HTTPError):
        ask(running, n=5)


@embedded
def test_a_seed_determines_the_text(running):
    """The same seed gives the same text, another seed another."""
    first, again, other = (text(ask(running, seed=seed, temperature=1.0)) for seed in (1, 1, 2))
    assert first == again != other


@embedded
def test_neutral_sampling_leaves_every_token_possible(running):
    """With the neutral fields a hundred candidates survive the filters; with llama.cpp's defaults they do not."""
    wanted = {
        "logprobs": True,
        "top_logprobs": 100,
        "post_sampling_probs": True,
        "temperature": 1.0,
        "max_tokens": 1,
        "seed": 1,
    }  # fmt: skip - one that does not begin with the end
    defaults = {"top_k": 40, "top_p": 0.95, "min_p": 0.05}
    kept = [
        len(ask(running, **wanted, **extra)["choices"][0]["logprobs"]["content"][0]["top_probs"])
        for extra in ({}, defaults)
    ]
    assert kept[0] == 100 > kept[1]


@embedded
def test_the_key_is_needed_and_never_shown(running):
    """Another key is refused, and the engine's repr does not hold its own."""
    assert running.url.startswith("http://127.0.0.1:")
    assert running.api_key not in repr(running)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask(running, key="guess")


QUIET = """
import os, sys
import rtk
from rtk.errors import EngineError
from rtk.models.engine import engine
first = engine(sys.argv[1], slots=1, context=128)
try:
    engine(sys.argv[2], slots=1, context=128)
except EngineError:
    pass
child = os.fork()
if not child:
    mine = engine(sys.argv[1], slots=1, context=128)
    sys.exit(mine.url == first.url)
status = os.waitpid(child, 0)[1]
again = engine(sys.argv[1], slots=1, context=128)
first.close()
fresh = engine(sys.argv[1], slots=1, context=128)
sys.exit(not (status == 0 and again is first and fresh is not first and fresh.running and not first.running))
"""


@pytest.mark.slow
@embedded
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_process_with_engines_forks_ends_and_says_nothing(path, tmp_path):
    """Starting, failing, forking, closing and exiting write nothing to either stream and leave nobody waiting."""
    command = [sys.executable, "-c", QUIET, str(path), str(fake_gguf(tmp_path / "bad.gguf"))]
    done = subprocess.run(command, capture_output=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_file_that_is_no_model_is_an_engine_error(tmp_path):
    """A file with a GGUF's head and nothing behind it does not load, and is named."""
    pytest.importorskip("xllamacpp")
    with pytest.raises(EngineError, match=r"did not load .*bad\.gguf"):
        engine(fake_gguf(tmp_path / "bad.gguf"), slots=1, context=64)


def test_a_model_too_large_for_the_memory_is_refused_before_it_is_loaded(tmp_path):
    """Keys and values count: a small file with many layers and a vast context is refused with the two amounts."""
    pytest.importorskip("xllamacpp")
    large = fake_gguf(tmp_path / "large.gguf", layers=1000)
    with pytest.raises(EngineError, match="of memory") as caught:
        engine(large, slots=1000, context=100_000)
    assert "fewer slots" in caught.value.mend


def test_missing_weights_and_other_files_are_weights_errors(tmp_path):
    """A path to nothing, and a file that is no GGUF, never reach the engine."""
    other = tmp_path / "model.bin"
    other.write_bytes(b"not a model")
    for place in (tmp_path / "none.gguf", other):
        with pytest.raises(WeightsError):
            engine(place)


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    """Without xllamacpp the error is the command that installs it."""
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(MissingExtra) as caught:
        engine(fake_gguf(tmp_path / "a.gguf"))
    assert caught.value.mend == "pip install 'rtk-inference[local]'"


def test_no_slots_are_refused(tmp_path):
    """Slots and context are positive."""
    with pytest.raises(EngineError, match="slots=0"):
        engine(fake_gguf(tmp_path / "a.gguf"), slots=0)


@embedded
def test_an_lm_outlives_the_engine_it_started(path, own_store):
    """Where somebody closed the engine, the next draw starts another."""
    lm = rtk.LM("embedded", gguf=path, slots=1, context=128, max_tokens=2)
    first = lm("Name a colour.")
    engine(path, slots=1, context=128).close()
    assert lm("Name a colour.", n=2)[:1] == first
    engine(path, slots=1, context=128).close()
