"""Hostile: replies that are empty, cut, foreign, endless or crafted; wrong answers that come first; small budgets."""

import asyncio
import time

import dspy
import pytest
from scripted import asks, chain, chat, field_of, serving

import rtk
from rtk.testing import Reply

CRAFTED = {
    "empty": "",
    "blank": " \n\t ",
    "no fields": "The answer is forty-two, I believe.",
    "cut": Reply("[[ ## reasoning ## ]]\nfirst, I", finish_reason="length"),
    "foreign": "Конечно! Ответ: сорок два。答えは四十二です。",
    "100 kB of words": chain("word " * 20_000, "step " * 20_000),
    "100 kB of one line": chain("x" * 100_000, "=" * 100_000),
    "100 kB of numbers": chain("1+" * 50_000, "1 + 1 = " * 12_500),
    "open brackets": chain("(" * 20_000 + "[" * 20_000, "{" * 40_000),
    "headers in headers": chain(
        "[[ ## answer ## ]]\n[[ ## completed ## ]]", "[[ ## answer ## ]]\n7\n[[ ## reasoning ## ]]"
    ),
    "markup": chain(
        "<script>alert(1)</script><img src=x onerror=alert(1)>", "</details></div><style>*{display:none}</style>"
    ),
    "terminal": chain("\x1b[2J\x1b]0;owned\x07", "\x1b[31mred\u202egnp.exe"),
    "a tower of powers": chain("9**9**9**9**9", "9^9^9^9^9 = 1 and 99999999999999!! = 3"),
    "a number too long": chain("9" * 50_000, "9" * 5_000 + " = " + "9" * 5_000),
    "latex": chain("\\boxed{" * 5_000, "$" * 9_999),
    "a json bomb": '{"a":' * 20_000,
    "thinking": "<think>" * 3_000 + "[[ ## answer ## ]]\n1",
    "surrogates": chain("\ud800", "\udfff \x00"),
}

PROGRAMS = {
    "chain": lambda: rtk.ChainOfThought("question -> answer"),
    "vote": lambda: rtk.SelfConsistency("question -> answer", samples=3, stop="beta"),
    "free text": lambda: rtk.SelfConsistency("question -> answer", 3, "medoid"),
    "judged": lambda: rtk.SelfConsistency("question -> answer", 3, "judge"),
    "universal": lambda: rtk.SelfConsistency("question -> answer", 3, "universal", finish_cut=True),
    "choice": lambda: rtk.BestOfN("question -> answer", 2, dspy.Predict("question, answer -> score: float")),
    "beam": lambda: rtk.TreeOfThoughts("question -> answer", 2, 2, 2),
    "voting tree": lambda: rtk.TreeOfThoughts(
        "question -> answer", 2, 2, 2, evaluate="vote", proposals="list", answer="consistent", distinct=True
    ),
    "depth first": lambda: rtk.TreeOfThoughts("question -> answer", 2, 2, 2, "dfs"),
}


@pytest.mark.parametrize("reply", CRAFTED)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_crafted_reply_breaks_nothing(name, reply):
    """Whatever the model writes: an answer or an abstention, soon, and a page on which it can do nothing."""
    started = time.monotonic()
    with serving(CRAFTED[reply]):
        found = PROGRAMS[name]()(question="What is 6 × 7?")
    page, text = found.deliberation.html(), str(found.deliberation)
    for shown in (page, found._repr_html_()):
        assert "<script" not in shown
        assert "<style" not in shown
        assert "<img" not in shown
    assert "\x1b" not in text
    assert len(page) < 1_000_000
    assert len(text.splitlines()) <= 60
    assert rtk.Deliberation.from_dict(found.deliberation.to_dict()).html() == page
    assert time.monotonic() - started < 60, "nobody waits a minute for three replies"


@pytest.mark.parametrize("name", PROGRAMS)
def test_one_crafted_reply_among_good_ones_costs_itself_alone(name):
    """The others answer."""

    def script(received):
        if asks(received, "thoughts") and asks(received, "answer"):
            return chain("42")
        if asks(received, "thought") or asks(received, "thoughts"):
            return chat(reasoning="r", thought="t", thoughts='["t", "u"]')
        for field, value in (("verdict", "sure"), ("score", "0.5"), ("best", 1), ("same", True)):
            if asks(received, field) and not asks(received, "answer"):
                return chat(reasoning="r", **{field: value})
        return "" if received.choice == 1 else chain("42")

    with serving(script):
        assert PROGRAMS[name]()(question="What is 6 × 7?").answer == "42"


@pytest.mark.parametrize("name", ["vote", "choice", "beam", "depth first"])
def test_wrong_answers_that_come_back_fast_win_nothing(name):
    """What is right takes a tenth of a second longer, and the outcome is that of a server without haste."""
    found = []
    for hurry in (0.0, 0.1):

        def script(received, hurry=hurry):
            seed = received.body["seed"]
            right = seed % 3 != 0
            if asks(received, "thought"):
                text = chat(reasoning="r", thought=f"right {seed % 2}" if right else "wrong")
            elif asks(received, "verdict"):
                text = chat(reasoning="r", verdict="sure" if "right" in field_of(received, "partial") else "impossible")
            elif asks(received, "score"):
                text = chat(score=0.9 if field_of(received, "answer") == "right" else 0.1)
            else:
                text = chain("right" if right else "wrong")
            return Reply(text, delay=hurry if right else 0.0)

        with serving(script, server_n=False, seed=2, cache=False):
            answer = PROGRAMS[name]()(question="?")
        found.append((answer.answer, answer.deliberation.to_dict(), answer.spent.samples))
    assert found[0] == found[1]


# --- nested three deep, under seven calls ---


class Debate(rtk.Strategy):
    """Two who answer, see each other's answers, and a judge."""

    def __init__(self, signature):
        super().__init__()
        self.side = rtk.SelfConsistency(signature, samples=2)
        self.judge = dspy.Predict("question, one, other -> answer")

    def flow(self, **inputs):
        """Both sides at once, then the judge."""
        sides = yield [rtk.ask(self.side, inputs, rollout=side) for side in (0, 1)]
        yield sides[0][0]
        one, other = (side[0].answer("answer") for side in sides)
        verdict = yield rtk.ask(self.judge, {**inputs, "one": one, "other": other})
        return verdict[0]


NESTED = {
    "choice of votes of trees": lambda: rtk.BestOfN(
        rtk.SelfConsistency(rtk.TreeOfThoughts("question -> answer", 1, 2, 1, values=0), samples=2),
        2,
        lambda inputs, prediction: float(len(prediction.answer)),
    ),
    "vote of debates of votes": lambda: rtk.SelfConsistency(Debate("question -> answer"), samples=3),
    "tree over a vote of choices": lambda: rtk.TreeOfThoughts(
        rtk.SelfConsistency(rtk.BestOfN("question -> answer", 2, lambda inputs, prediction: 1.0), samples=2),
        branching=3,
        values=0,
    ),
    "debate in a module in a vote": lambda: rtk.SelfConsistency(Holder(Debate("question -> answer")), samples=3),
}


class Holder(dspy.Module):
    """A user's module around a program."""

    def __init__(self, program):
        super().__init__()
        self.program = program

    def forward(self, **inputs):
        return self.program(**inputs)

    async def aforward(self, **inputs):
        return await self.program.acall(**inputs)


def nested(received):
    """Answers that differ by seed."""
    if asks(received, "thought"):
        return chat(reasoning="r", thought=f"t{received.body['seed'] % 4}")
    return chat(reasoning="r", answer="a" * (1 + received.body["seed"] % 3))


@pytest.mark.parametrize("name", NESTED)
@pytest.mark.parametrize("calls", [1, 2, 3, 7])
def test_three_deep_under_a_few_calls(name, calls):
    """The promise is kept at every depth, something is answered, and again from the store the same is told."""
    told = []
    with serving(nested, server_n=False, seed=6) as server:
        for _ in range(2):
            with rtk.Budget(calls=calls) as budget:
                found = NESTED[name]()(question="?")
            assert budget.spent.calls <= calls
            assert found.spent.calls == budget.spent.calls
            told.append((found.answer, found.stopped, found.deliberation.to_dict()))
        drawn = server.choices_served
        assert drawn == budget.spent.samples
        whole = NESTED[name]()(question="?")
        assert whole.stopped is None
    assert told[0] == told[1]
    assert told[0][1] in ("calls", None)
    assert told[0][0] is not None or calls < 3


@pytest.mark.parametrize("name", NESTED)
def test_three_deep_gives_the_same_whatever_the_timing(name):
    """Answers, deliberations, addresses and costs, at any concurrency, called or awaited."""
    told = []
    for concurrency, latency, awaited in ((1, 0, False), (64, (0, 0.02), False), (64, (0, 0.02), True)):
        with serving(nested, server={"latency": latency}, server_n=False, seed=6, concurrency=concurrency, cache=False):
            program = NESTED[name]()
            found = asyncio.run(program.acall(question="?")) if awaited else program(question="?")
            told.append((found.answer, found.deliberation.to_dict(), found.spent.samples, found.spent.calls))
    assert told[0] == told[1] == told[2]
