"""`dspy.streamify` over rtk's strategies: what is drawn alone streams, the rest comes whole and says so."""

import asyncio

import dspy
import pytest

import rtk
from rtk.testing import Reply, ScriptedServer

CHAIN = "[[ ## reasoning ## ]]\nOne and one.\n\n[[ ## answer ## ]]\n{}\n\n[[ ## completed ## ]]"
BOTH = pytest.mark.parametrize("awaited", [False, True], ids=["sync", "async"])


class Draft(rtk.Strategy):
    """Two chains, one after the other."""

    def __init__(self):
        super().__init__()
        self.draft = dspy.ChainOfThought("question -> answer")
        self.final = dspy.ChainOfThought("question, draft -> result")

    def flow(self, **inputs):
        """Draft, then say it again."""
        drafts = yield rtk.ask(self.draft, inputs)
        finals = yield rtk.ask(self.final, {**inputs, "draft": drafts[0].answer("answer")})
        return finals[0]


class Pair(rtk.Strategy):
    """Two chains side by side."""

    def __init__(self):
        super().__init__()
        self.one, self.other = dspy.Predict("question -> answer"), dspy.Predict("question -> answer, why")

    def flow(self, **inputs):
        """Both at once."""
        [one], [_] = yield [rtk.ask(self.one, inputs), rtk.ask(self.other, inputs)]
        return one


class Rolled(rtk.Strategy):
    """A module of somebody else's."""

    def __init__(self):
        super().__init__()
        self.chain = dspy.Refine(
            dspy.ChainOfThought("question -> answer"), N=1, reward_fn=lambda *_: 1.0, threshold=0.5
        )

    def flow(self, **inputs):
        """Run it."""
        return (yield rtk.ask(self.chain, inputs))[0]


async def _all(program, fields, awaited):
    listeners = [dspy.streaming.StreamListener(field) for field in fields]
    stream = dspy.streamify(program, stream_listeners=listeners, is_async_program=awaited)
    return [value async for value in stream(question="1 + 1?")]


def seen(server, program, fields, awaited, **settings):
    """All that a watcher sees of one call."""
    lm = rtk.LM("openai/scripted", api_base=server.url, api_key="any", **settings)
    with dspy.context(lm=lm):
        return asyncio.run(_all(program, fields, awaited))


def by_field(values):
    """The text of each field, put together."""
    told = {}
    for value in values[:-1]:
        told[value.signature_field_name] = told.get(value.signature_field_name, "") + value.chunk
    return told


def streams(server):
    """Which requests asked for a stream."""
    return [bool(one.body.get("stream")) for one in server.requests]


@BOTH
@pytest.mark.parametrize(
    "program",
    [rtk.ChainOfThought("question -> answer"), rtk.SelfConsistency("question -> answer", samples=1)],
    ids=["chain", "one vote"],
)
def test_one_chain_streams_its_fields(program, awaited):
    """Drawn, and again from the store; the prediction is rtk's, with its deliberation."""
    with ScriptedServer(CHAIN.format("two")) as server:
        lm = rtk.LM("openai/scripted", api_base=server.url, api_key="any")
        for _ in range(2):
            with dspy.context(lm=lm):
                values = asyncio.run(_all(program, ["reasoning", "answer"], awaited))
            assert by_field(values) == {"reasoning": "One and one.", "answer": "two"}
            assert values[-1].answer == "two"
            assert values[-1].deliberation is not None
        assert streams(server) == [True]


@BOTH
def test_parts_are_seen_while_the_rest_is_held(awaited):
    """The strategy waits on another loop than the one on which its sample is drawn."""

    async def watch(server, lm):
        with dspy.context(lm=lm), server.hold(after=9):
            stream = dspy.streamify(
                rtk.ChainOfThought("question -> answer"),
                stream_listeners=[dspy.streaming.StreamListener("reasoning")],
                is_async_program=awaited,
            )(question="1 + 1?")
            first = await anext(stream)
            assert server.in_flight == 1
            server.release()
        return [first, *[value async for value in stream]]

    with ScriptedServer(CHAIN.format("two")) as server:
        lm = rtk.LM("openai/scripted", api_base=server.url, api_key="any")
        values = asyncio.run(watch(server, lm))
    assert by_field(values) == {"reasoning": "One and one."}


@BOTH
def test_a_budget_in_order_does_not_keep_it_from_streaming(awaited):
    """Rounds of one leaf have it alone."""
    with ScriptedServer(CHAIN.format("two")) as server, rtk.Budget(tokens=10_000):
        values = seen(server, rtk.ChainOfThought("question -> answer"), ["answer"], awaited, max_tokens=99)
        assert streams(server) == [True]
    assert by_field(values) == {"answer": "two"}


@BOTH
def test_chains_one_after_the_other_stream_each_in_its_turn(awaited):
    """Listeners tell them apart by predictor; one that nobody listens to is a plain request."""
    script = [CHAIN.format("two"), CHAIN.format("2").replace("## answer", "## result")]
    with ScriptedServer(script * 2) as server:
        values = seen(server, Draft(), ["answer", "result"], awaited, cache=False)
        assert by_field(values) == {"answer": "two", "result": "2"}
        assert by_field(seen(server, Draft(), ["result"], awaited, cache=False)) == {"result": "2"}
        assert streams(server) == [True, True, False, True]


@BOTH
@pytest.mark.parametrize(
    ("program", "why"),
    [
        (rtk.SelfConsistency("question -> answer", samples=3), "side by side"),
        (Pair(), "side by side"),
        (Rolled(), "modules that a strategy runs"),
    ],
    ids=["votes", "two asks", "a module"],
)
def test_what_would_mix_comes_whole_and_says_so_once(program, why, awaited, caplog):
    """The prediction comes all the same."""
    reply = "[[ ## reasoning ## ]]\nso\n\n[[ ## answer ## ]]\ntwo\n\n[[ ## why ## ]]\nso\n\n[[ ## completed ## ]]"
    with ScriptedServer(reply) as server:
        [only] = seen(server, program, [], awaited)
        assert not any(streams(server))
    assert only.answer == "two"
    assert [record.levelname for record in caplog.records if why in record.message] == ["WARNING"]


@BOTH
def test_a_malformed_chain_streams_and_is_an_abstention(awaited):
    """What was seen was said; that it cannot be read is in the prediction."""
    with ScriptedServer(Reply("no fields")) as server:
        values = seen(server, rtk.ChainOfThought("question -> answer"), [], awaited)
    assert "".join(value.choices[0].delta.content or "" for value in values[:-1]) == "no fields"
    assert values[-1].answer is None


@BOTH
def test_who_stops_watching_ends_the_draw(awaited):
    """The request is given up, and nothing is stored."""

    async def watch(begun):
        program = rtk.ChainOfThought("question -> answer")
        async for _ in dspy.streamify(program, is_async_program=awaited)(question="1 + 1?"):
            begun.set()

    async def glance(server, lm):
        begun = asyncio.Event()
        with dspy.context(lm=lm), server.hold(after=9):
            task = asyncio.create_task(watch(begun))
            await begun.wait()
            task.cancel()
            await asyncio.to_thread(server.wait_for, lambda s: s.in_flight == 0)

    with ScriptedServer(CHAIN.format("two")) as server:
        lm = rtk.LM("openai/scripted", api_base=server.url, api_key="any")
        asyncio.run(glance(server, lm))
        assert lm.store.count() == 0
