"""Samples of every engine: drawn once, at addresses of their own, told as they are."""

import asyncio

import pytest
from engines import LIVE, REAL, SCRIPTED, parameters, running, stored

import rtk
from rtk.errors import ServedModelChanged
from rtk.testing import Reply

QUESTION = "Name a colour."
EVERY = pytest.mark.parametrize("site", parameters(SCRIPTED, REAL, LIVE), indirect=True)
ANY_SCRIPTED = pytest.mark.parametrize("engine", parameters(SCRIPTED))


@EVERY
def test_n_samples_have_n_addresses(site):
    """Each is whole: a text, a finish reason, tokens, seconds, the name of what served it."""
    lm = site.lm(temperature=1.0)
    texts = lm(QUESTION, n=4)
    samples = stored(lm, 4, QUESTION, temperature=1.0)
    assert [samples[index].text for index in range(4)] == texts
    assert len({sample.address for sample in samples.values()}) == 4
    for sample in samples.values():
        assert isinstance(sample.text, str)
        assert sample.finish_reason in ("stop", "length")
        assert sample.usage.prompt_tokens > 0
        assert sample.usage.completion_tokens > 0
        assert sample.usage.seconds > 0
        assert sample.served_model
    if site.server is not None:
        assert len(set(texts)) == 4


@EVERY
def test_two_then_four_then_sixteen_draw_what_is_missing(site):
    """2, 4, 16, 8 draw 2 + 2 + 12 + 0, told by a budget, by the store and by a scripted server alike."""
    lm, drawn, texts = site.lm(temperature=1.0, max_tokens=4), [], []
    for count in (2, 4, 16, 8):
        with rtk.Budget(samples=100) as budget:
            texts.append(lm(QUESTION, n=count))
        drawn.append(budget.spent.drawn)
        assert lm.store.count() == max(map(len, texts))
    assert drawn == [2, 2, 12, 0]
    assert [texts[2][: len(some)] for some in texts] == texts
    if site.server is not None:
        assert site.server.choices_served == 16


@EVERY
def test_sync_and_async_share_their_samples(site):
    """What one drew the other reads; what is missing is drawn."""
    lm = site.lm(temperature=1.0)
    two = lm(QUESTION, n=2)
    three = asyncio.run(lm.acall(QUESTION, n=3))
    assert three[:2] == two
    assert lm(QUESTION, n=3) == three


@EVERY
def test_at_temperature_0_there_is_one_sample(site):
    """Drawn once, given as often as asked for, in every stream; vLLM refuses greedy requests for more."""
    lm = site.lm(temperature=0.0)
    texts = lm(QUESTION, n=3)
    assert len(set(texts)) == 1
    assert lm(QUESTION, rollout_id=7) == texts[:1]
    assert lm.store.count() == 1


@EVERY
def test_any_letters_arrive(site):
    """Scripts, emoji, quotes, controls, a line and a paragraph separator; in the prompt and in the store."""
    prompt = 'Grüße, 世界! 🙂‍↔️ "quoted" \\ tab\t nul-like ␀ \u2028 \u2029 العربية'
    lm = site.lm()
    text = lm(prompt)[0]
    assert stored(lm, 1, prompt)[0].text == text
    if site.server is not None:
        assert site.server.requests[0].last == prompt
        assert "réponse" in text


@ANY_SCRIPTED
@pytest.mark.parametrize("text", ["Größe ✓", "文字 🙂", "line\nline\r\n\ttab", "\u2028sep\u2029", "nul\x00byte", ""])
def test_every_text_is_kept_as_it_came(engine, text):
    """An empty one too: it is a sample, and is not drawn again."""
    with running(engine, Reply(text)) as site:
        lm = site.lm()
        assert lm(QUESTION) == [text] == lm(QUESTION)
        assert stored(lm, 1, QUESTION)[0].text == text
        assert site.server.count == 1


@ANY_SCRIPTED
def test_what_ended_early_is_kept_as_that(engine):
    """A reply cut off at its length is a sample; asked again it comes from the store."""
    with running(engine, Reply("and so o", finish_reason="length")) as site:
        lm = site.lm(max_tokens=3)
        lm(QUESTION), lm(QUESTION)
        assert stored(lm, 1, QUESTION)[0].finish_reason == "length"
        assert site.server.count == 1


@EVERY
def test_a_limit_on_tokens_is_kept_and_told(site):
    """One token asked for: the model ends there, and says `length`."""
    lm = site.lm(max_tokens=1)
    lm("Write a long story.")
    sample = stored(lm, 1, "Write a long story.")[0]
    if site.server is None:
        assert (sample.finish_reason, sample.usage.completion_tokens) == ("length", 1)
        return
    body = site.server.requests[0].body
    assert 1 in (body.get("max_tokens"), (body.get("options") or {}).get("num_predict"))


@ANY_SCRIPTED
def test_a_refusal_is_kept_as_one(engine):
    """Its words are the text; where the wire has a place for it, the finish reason says what it is."""
    with running(engine, Reply(refusal="I would rather not.")) as site:
        lm = site.lm()
        assert lm(QUESTION) == ["I would rather not."]
        sample = stored(lm, 1, QUESTION)[0]
    told_apart = engine.wire not in ("ollama", "vllm-0.9")
    assert sample.finish_reason == ("refusal" if told_apart else "stop")


@ANY_SCRIPTED
def test_another_model_under_the_same_name_is_told(engine):
    """Samples of two models never lie under one request; a `revision=` tells them apart."""
    with running(engine, "yes", served_model="first") as site:
        lm = site.lm()
        lm(QUESTION)
        site.server.served_model = "second"
        with pytest.raises(ServedModelChanged) as caught:
            lm(QUESTION, n=2)
        assert "revision=" in (caught.value.mend or "")
        assert site.lm(revision="2")(QUESTION, n=2) == ["yes", "yes"]
        assert lm.store.count() == 3


@ANY_SCRIPTED
def test_tokens_are_counted_for_each_sample(engine):
    """The prompt for each, the words for each; a sum over choices is shared out and nothing of it is lost."""
    texts = ["one", "one two", "one two three four five six"]
    with running(engine, texts) as site:
        lm = site.lm()
        lm(QUESTION, n=3)
        samples = [stored(lm, 3, QUESTION)[index] for index in range(3)]
    assert [sample.usage.prompt_tokens for sample in samples] == [3, 3, 3]
    written = [sample.usage.completion_tokens for sample in samples]
    if engine.expected["usage"] == "each sample's" or site.server.count == 3:
        assert sorted(written) == [1, 2, 6]
    elif engine.wire != "llamacpp":  # which reports one choice's for all: the others' are reckoned from it
        assert sum(written) == 9
    longest = max(samples, key=lambda sample: len(sample.text))
    assert longest.usage.completion_tokens == max(written)
