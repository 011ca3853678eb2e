"""`dspy.streamify` over `rtk.LM`: what a watcher sees while a sample is drawn, and that it is the same sample."""

import asyncio
import json
import threading

import dspy
import pytest
from serving import numbered, over, until
from streams import BOTH, EACH_WAY, FIELDS, FOUR, QUESTION, at, by_field, kinds, seen, streamed, words

import rtk
from rtk.testing import Reply, ScriptedServer

CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"x": 1}'}}
TOKENS = [
    {"token": text, "logprob": -0.5, "bytes": list(text.encode()), "top_logprobs": []} for text in ("<th", "ink>é")
]
RICH = Reply("<think>é", reasoning="think twice", tool_calls=[CALL], logprobs=TOKENS, finish_reason="tool_calls")


def samples(lm):
    """All that is stored, less the moment and the pace at which it came."""
    found = [lm.store.read(one.key, one.stream, [one.index])[one.index] for one in lm.store.addresses()]
    return [one._replace(usage=one.usage._replace(seconds=0.0), drawn_at="") for one in found]


# --- what is seen ---


@EACH_WAY
@BOTH
def test_fields_come_piece_by_piece_then_the_prediction(model, wire, way, awaited):
    """Whichever way leads to the model, and whether the program is awaited or runs in DSPy's thread."""
    with ScriptedServer(FOUR, wire=wire) as server:
        values = seen(at(server, model, way), is_async_program=awaited)
        assert (server.count, server.requests[0].body["stream"]) == (1, True)
    assert kinds(values) == ["StreamResponse", "Prediction"]
    assert len(values) > 10
    assert by_field(values) == FIELDS
    assert dict(values[-1].items()) == FIELDS


@EACH_WAY
@BOTH
def test_a_piece_is_seen_before_the_next_is_sent(model, wire, way, awaited):
    """The server holds the rest of its stream back until the first pieces have been seen."""

    async def watch(server, lm):
        with dspy.context(lm=lm), server.hold(after=9):
            stream = streamed(is_async_program=awaited)(question=QUESTION)
            first = await anext(stream)
            assert server.in_flight == 1
            server.release()
        return [first, *[value async for value in stream]]

    with ScriptedServer(FOUR, wire=wire) as server:
        values = asyncio.run(watch(server, at(server, model, way)))
    assert by_field(values) == FIELDS


def test_a_loop_without_await_sees_the_same():
    """`async_streaming=False`: a plain generator."""
    with ScriptedServer(FOUR) as server:
        values = seen(over(server), async_streaming=False)
    assert by_field(values) == FIELDS
    assert kinds(values) == ["StreamResponse", "Prediction"]


@BOTH
def test_without_listeners_chunks_come_as_dspys_engines_give_them(awaited):
    """Text, reasoning apart from it, and the reason for the end; `streaming_response` takes them."""
    script = Reply(FOUR, reasoning="hm, hm")
    with ScriptedServer(script) as server:
        values = seen(over(server, cache=False), [], is_async_program=awaited)
        assert kinds(values) == ["EngineChunk", "Prediction"]
        assert words(values) == FOUR
        deltas = [value.choices[0] for value in values[:-1]]
        assert "".join(one.delta.get("reasoning_content") or "" for one in deltas) == "hm, hm"
        assert [one.finish_reason for one in deltas] == [None] * (len(deltas) - 1) + ["stop"]

        async def served(lm):
            with dspy.context(lm=lm):
                return [line async for line in dspy.streaming.streaming_response(streamed([])(question=QUESTION))]

        lines = asyncio.run(served(over(server, cache=False)))
    assert json.loads(json.loads(lines[0].removeprefix("data: "))["chunk"])["model"] == "openai/scripted"
    assert lines[-1] == "data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("adapter", "text"),
    [
        (dspy.JSONAdapter(), '{"reasoning": "Two and two are four, as all know.", "answer": "four (4)"}'),
        (dspy.XMLAdapter(), f"<reasoning>{FIELDS['reasoning']}</reasoning>\n<answer>{FIELDS['answer']}</answer>"),
    ],
    ids=["json", "xml"],
)
def test_the_other_adapters_that_stream_do(adapter, text):
    """Drawn, and again from the store."""
    with ScriptedServer(text) as server:
        lm = over(server)
        for _ in range(2):
            told = by_field(seen(lm, adapter=adapter))
            assert all(value in told[name] for name, value in FIELDS.items())  # DSPy leaves some JSON around them
        assert server.count == 1


@BOTH
def test_a_field_that_nobody_listens_to_is_not_streamed(awaited):
    """Nor is a predictor: the other one's request is a plain one."""

    class Two(dspy.Module):
        def __init__(self):
            super().__init__()
            self.plain = dspy.Predict("question -> draft")
            self.heard = dspy.ChainOfThought("question, draft -> answer")

        def forward(self, question):
            return self.heard(question=question, draft=self.plain(question=question).draft)

        async def aforward(self, question):
            draft = await self.plain.acall(question=question)
            return await self.heard.acall(question=question, draft=draft.draft)

    draft = "[[ ## draft ## ]]\nperhaps\n\n[[ ## completed ## ]]"
    with ScriptedServer([draft, FOUR]) as server:
        values = seen(over(server), ["answer"], Two(), is_async_program=awaited)
        assert [bool(one.body.get("stream")) for one in server.requests] == [False, True]
    assert by_field(values) == {"answer": FIELDS["answer"]}


# --- it is the same sample ---


@EACH_WAY
def test_the_sample_is_stored_as_if_nobody_had_watched(model, wire, way, tmp_path):
    """Key, text, reasoning, tool calls, log-probabilities, finish reason, tokens, served model."""
    stored = []
    for watched in (False, True):
        with ScriptedServer(RICH, wire=wire) as server:
            lm = at(server, model, way, store=tmp_path / str(watched))
            parts = []
            with rtk.watch(parts=parts.append if watched else None):
                lm(QUESTION, logprobs=True)
            assert bool(parts) is watched
            stored.append(samples(lm))
    assert stored[0] == stored[1]
    assert stored[0][0].text == RICH.text


@BOTH
def test_asked_again_it_comes_from_the_store_in_pieces(awaited):
    """Listeners see the fields; no request is made. A plain call shares the sample."""
    with ScriptedServer(FOUR) as server:
        lm = over(server)
        with dspy.context(lm=lm):
            dspy.ChainOfThought("question -> answer")(question=QUESTION)
        values = seen(lm, is_async_program=awaited)
        assert words(seen(lm, [], is_async_program=awaited)) == FOUR
        assert server.count == 1
    assert by_field(values) == FIELDS


def test_a_recording_is_replayed_in_pieces(tmp_path):
    """What was recorded while it streamed streams again, without a model."""
    path = tmp_path / "chain.jsonl"
    with ScriptedServer(FOUR) as server, rtk.recording(path, mode="record"):
        lm = over(server)
        seen(lm)
    with rtk.recording(path, mode="replay"):
        assert by_field(seen(lm)) == FIELDS


def test_a_budget_is_charged_once():
    """A stream is one sample and its tokens; the next one is refused as ever."""
    with ScriptedServer(Reply(FOUR, prompt_tokens=5, completion_tokens=7)) as server:
        lm = over(server)
        with rtk.Budget(samples=1) as budget:
            seen(lm)
            with pytest.raises(rtk.BudgetSpent):
                seen(lm.copy(temperature=0.9))
        assert (budget.spent.samples, budget.spent.tokens, server.count) == (1, 12, 1)


@BOTH
def test_two_watchers_of_one_sample_wait_for_one_draw(awaited):
    """The second, who comes in the middle, sees it from its beginning."""

    async def watch(begun):
        values = []
        async for value in streamed(is_async_program=awaited)(question=QUESTION):
            values.append(value)
            begun.set()
        return values

    async def both_watch(lm, server):
        begun = [asyncio.Event(), asyncio.Event()]
        with dspy.context(lm=lm), server.hold(after=9):
            tasks = []
            for event in begun:
                tasks.append(asyncio.create_task(watch(event)))
                await event.wait()
        return await asyncio.gather(*tasks)

    with ScriptedServer(FOUR) as server:
        both = asyncio.run(both_watch(over(server), server))
        assert server.count == 1
    assert [by_field(values) for values in both] == [FIELDS, FIELDS]


def test_a_wrapped_lm_streams_as_dspy_does():
    """`rtk.LM.of`: its own engine sends the chunks, and the sample has an address."""
    with ScriptedServer(FOUR) as server:
        for engine in ("auto", "litellm"):
            inner = dspy.LM("openai/scripted", api_base=server.url, api_key="any", engine=engine, cache=False)
            lm = rtk.LM.of(inner, revision=engine)
            for awaited in (False, True):
                assert by_field(seen(lm, is_async_program=awaited)) == FIELDS
            assert len(inner.history) == 1
        assert [one.body["stream"] for one in server.requests] == [True, True]


# --- what is not streamed, and who stops watching ---


@BOTH
def test_samples_drawn_together_come_whole_and_it_is_said_why(awaited, caplog):
    """Once for each stream; and the prediction is there."""
    with ScriptedServer(FOUR) as server:
        values = seen(over(server, n=3, cache=False), [], is_async_program=awaited)
        assert not server.requests[0].body.get("stream")
    assert kinds(values) == ["Prediction"]
    assert len(values[0].completions) == 3
    assert [record.levelname for record in caplog.records if "side by side" in record.message] == ["WARNING"]


def test_from_a_thread_that_cannot_reach_the_stream_it_is_said_why(caplog):
    """A program that draws in threads of its own gets its samples; two of them warn once."""

    class Threaded(dspy.Module):
        def forward(self, question):
            chain, lm = dspy.ChainOfThought("question -> answer"), dspy.settings.lm
            return dspy.Parallel(num_threads=2, disable_progress_bar=True)(
                [(chain, {"question": question, "config": {"max_tokens": 9 + n}}) for n in range(2)]
            )[0 if lm else 1]

    with ScriptedServer(FOUR) as server:
        values = seen(over(server), [], Threaded())
    assert kinds(values) == ["Prediction"]
    assert sum("only the thread or task" in record.message for record in caplog.records) == 1


@BOTH
def test_who_stops_watching_ends_the_draw(awaited):
    """The connection is closed, nothing is stored, and no thread stays behind."""

    async def watch(begun):
        async for _ in streamed(is_async_program=awaited)(question=QUESTION):
            begun.set()

    async def glance(lm, server):
        begun = asyncio.Event()
        with dspy.context(lm=lm):
            task = asyncio.create_task(watch(begun))
            await begun.wait()
            task.cancel()
            await asyncio.to_thread(server.wait_for, lambda s: s.in_flight == 0)

    with ScriptedServer(numbered_fields()) as server:
        lm = over(server)
        with server.hold(after=9):
            asyncio.run(glance(lm, server))
        until(lambda: not [one for one in threading.enumerate() if one.name.startswith("AnyIO")])
        assert lm.store.count() == 0
        assert by_field(seen(lm))["answer"] == "reply 1"


def numbered_fields():
    """Replies with fields, no two of them alike."""
    return (FOUR.replace(FIELDS["answer"], text) for text in numbered())


def test_a_plain_generator_that_is_left_keeps_its_sample():
    """DSPy goes on drawing behind it; what it draws is stored."""
    with ScriptedServer(FOUR) as server:
        lm = over(server)
        with dspy.context(lm=lm):
            stream = streamed(async_streaming=False)(question=QUESTION)
            next(stream)
            stream.close()
        until(lambda: lm.store.count() == 1)


@pytest.mark.embedded
@BOTH
def test_the_embedded_model_streams(awaited):
    """A real model: many chunks, whose text is the sample's; again from the store."""
    lm = rtk.LM("embedded", max_tokens=24, temperature=0)  # no chance of a short reply

    class Bare(dspy.Module):
        def forward(self, question):
            return dspy.Prediction(answer=lm(question)[0])

        async def aforward(self, question):
            return dspy.Prediction(answer=(await lm.acall(question))[0])

    for _ in range(2):
        values = seen(lm, [], Bare(), is_async_program=awaited)
        assert len(values) > 5
        assert words(values) == values[-1].answer == samples(lm)[0].text
    assert lm.store.count() == 1
