"""Budgets under a recording: spent at the same sample live and replayed; a deadline stops where and as it stopped."""

import asyncio
import itertools
import math
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import over

import rtk
from rtk.budget import UNITS
from rtk.errors import BudgetSpent, NotRecorded, RTKError
from rtk.samples import Address
from rtk.testing import Reply, ScriptedServer

pytestmark = pytest.mark.usefixtures("nothing_in_force")

SEED = 7
SOON, LATE = 0.5, 1.5  # seconds that a deadline leaves; the latter where something has to come by then
PRICE = (15625, 15625)  # a 64th of a dollar for each token, so that sums are exact in whatever order
INDEX = {Address("", "0", index).seed(SEED): index for index in range(32)}


def index_of(received):
    """Which sample a request is for."""
    return INDEX[received.body["seed"]]


def model(server, **settings):
    return over(server, seed=SEED, price=PRICE, max_tokens=8, num_retries=0, **settings)


def without_model(**settings):
    given = {"seed": SEED, "price": PRICE, "max_tokens": 8, **settings}
    return rtk.LM("openai/scripted", api_base="http://127.0.0.1:9/v1", api_key="none", **given)


def replayed_spent(spent):
    """What a replay says was spent: the same, with nothing drawn."""
    return replace(spent, drawn=0, reused=spent.drawn + spent.reused)


def texts(samples):
    return [getattr(sample, "text", sample) for sample in samples]


def outcome(lm, question, n):
    """What an ask came to: its texts, and the unit of the budget that ended it, or the error."""
    try:
        return texts(lm(question, n=n)), None, None
    except BudgetSpent as spent:
        return texts(spent.arrived), spent.limit, spent.budget.limits
    except (RTKError, NotRecorded) as error:
        return type(error), getattr(error, "kind", None), None


def told(lm, asks, budgets):
    """What some asks came to under nested budgets, outermost first, and what each of these says was spent."""
    with budgets[0]:
        found = told(lm, asks, budgets[1:]) if budgets[1:] else ([outcome(lm, *ask) for ask in asks], [])
    return found[0], [budgets[0].spent, *found[1]]


def expected(live):
    """A run as its replay tells it."""
    return live[0], [replayed_spent(spent) for spent in live[1]]


def recorded(path, server, asks, budgets, **settings):
    with rtk.recording(path):
        return told(model(server, **settings), asks, budgets)


def replayed(path, asks, budgets, **settings):
    with rtk.recording(path, mode="replay"):
        return told(without_model(**settings), asks, budgets)


# --- units that are a function of the samples ---


def uneven(received):
    """Lengths of their own, and a failure now and then."""
    index = index_of(received) + len(received.last)
    return Reply("no", status=400) if index % 7 == 0 else " ".join(["so"] * (1 + index % 5)) + f" {index}"


@pytest.fixture(scope="module")
def even():
    """One that answers at once, and one whose replies overtake each other."""
    with ScriptedServer(uneven) as quick, ScriptedServer(uneven, latency=(0, 0.004)) as slow:
        yield quick, slow


ASKS = [("one?", 4), ("another?", 5), ("one?", 6), ("a third?", 2)]
MOST = {"calls": 5, "samples": 14, "tokens": 180, "dollars": 4}
limits = st.sampled_from(sorted(MOST)).flatmap(
    lambda unit: st.tuples(st.just(unit), st.floats(0, MOST[unit]) if unit == "dollars" else st.integers(0, MOST[unit]))
)


@settings(max_examples=40)
@given(limits=st.lists(limits, min_size=1, max_size=3), slow=st.booleans(), concurrency=st.sampled_from([1, 3, 16]))
def test_a_budget_trips_at_the_same_sample_live_and_replayed(even, limits, slow, concurrency):
    """Of whatever unit, nested, with failures: the same texts, the same end, and the same spent."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.jsonl"
        store = Path(folder) / "store"
        budgets = lambda: [rtk.Budget(**dict([limit])) for limit in limits]  # noqa: E731
        live = recorded(path, even[slow], ASKS, budgets(), store=store, concurrency=concurrency)
        if path.exists():
            assert replayed(path, ASKS, budgets()) == expected(live)


def test_a_smaller_budget_replays_a_part(even, tmp_path):
    """What a run under a large budget recorded answers every smaller one; a larger one is not recorded."""
    recorded("study", even[0], [("one?", 6)], [rtk.Budget(samples=4)])
    found, (spent,) = replayed("study", [("one?", 6)], [rtk.Budget(samples=3)])
    assert (len(found[0][0]), found[0][1], spent.reused) == (3, "samples", 3)
    assert replayed("study", [("one?", 6)], [rtk.Budget(samples=9)])[0][0][0] is NotRecorded


# --- deadlines ---


def hanging(*indices):
    """A script whose replies to some samples never come, each request of a question that begins with `slow`."""
    return lambda received: Reply(
        f"reply {index_of(received)}",
        delay=math.inf if index_of(received) in indices and received.last.startswith("slow") else 0.0,
    )


@pytest.fixture(params=["stopped", "racing"])
def clock(request, monkeypatch):
    """Called before a replay: a clock that stands still, or one on which hours pass between two looks."""

    def begin():
        hours = itertools.count(0, 0 if request.param == "stopped" else 36000)
        for place in ("rtk.budget.budget.time", "rtk.models.asking.time"):
            monkeypatch.setattr(place, SimpleNamespace(monotonic=lambda: next(hours)))

    return begin


DEADLINES = {
    "in the middle": ([("slow", 6)], (2,), lambda: [rtk.Budget(seconds=SOON)]),
    "in the middle, with a gap behind": ([("slow", 8)], (2, 5), lambda: [rtk.Budget(seconds=SOON)]),
    "before the first": ([("slow", 3)], (0, 1, 2), lambda: [rtk.Budget(seconds=SOON)]),
    "before the first, with some behind": ([("slow", 3)], (0,), lambda: [rtk.Budget(seconds=SOON)]),
    "before anything is asked": ([("quick", 3)], (), lambda: [rtk.Budget(seconds=0)]),
    "again and again": ([("quick", 2), ("slow", 3), ("quick", 2), ("another", 1)], (1,),
                        lambda: [rtk.Budget(seconds=SOON)]),
    "in the inner of two": ([("quick", 2), ("slow", 6), ("quick", 9)], (1,),
                            lambda: [rtk.Budget(samples=9, calls=9), rtk.Budget(seconds=SOON)]),
    "in the outer of two": ([("slow", 6), ("quick", 2)], (1,),
                            lambda: [rtk.Budget(seconds=SOON), rtk.Budget(samples=5)]),
    "in one of two": ([("slow", 6), ("quick", 2)], (1,), lambda: [rtk.Budget(seconds=60), rtk.Budget(seconds=SOON)]),
    "while one waits for the others": ([("slow", 6)], (0,), lambda: [rtk.Budget(tokens=200, seconds=SOON)]),
    "beside another limit": ([("slow", 6)], (4,), lambda: [rtk.Budget(samples=3, seconds=SOON)]),
}  # fmt: skip


@pytest.mark.parametrize("case", DEADLINES)
def test_a_deadline_stops_where_and_as_it_stopped(case, clock):
    """However fast or slow the replay: the same samples, the same budget that ends it, the same spent in each."""
    asks, slow, budgets = DEADLINES[case]
    with ScriptedServer(hanging(*slow)) as server:
        live = recorded("study", server, asks, budgets(), concurrency=8)
    clock()
    assert replayed("study", asks, budgets()) == expected(live)
    ends = [end for _, end, _ in live[0]]
    assert ends == (["samples"] if case == "beside another limit" else ends)
    assert case == "beside another limit" or "seconds" in ends


def test_what_came_behind_a_gap_is_overdrawn_in_both():
    """Paid and not consulted, live and replayed, and an outer budget of samples has paid for it too."""
    budgets = lambda: [rtk.Budget(samples=9), rtk.Budget(seconds=LATE)]  # noqa: E731
    with ScriptedServer(hanging(2)) as server:
        live = recorded("study", server, [("slow", 6)], budgets(), concurrency=8)
    assert live[0][0] == (["reply 0", "reply 1"], "seconds", {"seconds": LATE})
    assert [(spent.samples, spent.overdrawn, spent.calls) for spent in live[1]] == [(5, 3, 1)] * 2
    assert replayed("study", [("slow", 6)], budgets()) == expected(live)


def test_of_two_deadlines_alike_the_outer_one_ends_it():
    """It began first; the error names it live and replayed."""

    def ask(lm):
        with rtk.Budget(seconds=LATE) as outer, rtk.Budget(seconds=LATE) as inner, pytest.raises(BudgetSpent) as caught:
            lm("slow", n=2)
        return [caught.value.budget is outer, caught.value.budget is inner]

    with ScriptedServer(hanging(1)) as server, rtk.recording("study"):
        assert ask(model(server)) == [True, False]
    with rtk.recording("study", mode="replay"):
        assert ask(without_model()) == [True, False]


async def test_an_awaited_ask_stops_there_too():
    """The async call is the same ask."""

    async def ask(lm):
        with pytest.raises(BudgetSpent) as caught, rtk.Budget(seconds=LATE) as budget:
            await lm.acall("slow", n=4)
        return texts(caught.value.arrived), caught.value.limit, budget.spent

    with ScriptedServer(hanging(1)) as server, rtk.recording("study"):
        *live, spent = await ask(model(server))
    with rtk.recording("study", mode="replay"):
        assert await ask(without_model()) == (*live, replayed_spent(spent))
    assert live == [["reply 0"], "seconds"]


def test_a_deadline_that_did_not_stop_a_repetition_does_not_stop_it_replayed():
    """As in a sweep: cut the first time, whole the second, under a budget of the same seconds each."""

    def once(received):
        late = index_of(received) == 1 and received.occurrence == 0
        return Reply(f"reply {index_of(received)}", delay=math.inf if late else 0.0)

    def sweep(lm):
        return [told(lm, [("slow", n)], [rtk.Budget(seconds=LATE)]) for n in (2, 4, 3)]

    with ScriptedServer(once) as server, rtk.recording("study"):
        live = sweep(model(server))
    assert [len(found[0][0]) for found, _ in live] == [1, 4, 3]
    with rtk.recording("study", mode="replay"):
        assert sweep(without_model()) == [expected(one) for one in live]


def test_a_later_run_that_is_not_stopped_takes_the_place_of_one_that_was():
    """The file holds the last run from its beginning: recorded again in `auto` by a faster server, nothing stops it."""
    budgets = lambda: [rtk.Budget(seconds=LATE)]  # noqa: E731
    with ScriptedServer(hanging(1)) as server:
        assert recorded("study", server, [("slow", 3)], budgets())[0][0][1] == "seconds"
    with ScriptedServer(hanging()) as server:
        live = recorded("study", server, [("slow", 3)], budgets())
    assert len(live[0][0][0]) == 3
    assert replayed("study", [("slow", 3)], budgets()) == expected(live)


def test_other_seconds_are_another_deadline():
    """A replay under another limit of time is not stopped, and asks for what is not recorded."""
    with ScriptedServer(hanging(1)) as server:
        recorded("study", server, [("slow", 3)], [rtk.Budget(seconds=LATE)])
    for budget in (rtk.Budget(seconds=60), rtk.Budget()):
        assert replayed("study", [("slow", 3)], [budget])[0][0][0] is NotRecorded
    assert replayed("study", [("slow", 1)], [rtk.Budget(seconds=60)])[0] == [(["reply 0"], None, None)]


def test_a_deadline_is_kept_in_the_file_in_plain_words(tmp_path):
    """Where, after how many seconds, whether it was a call, what came behind it, and which of several asks it was."""
    with ScriptedServer(hanging(1)) as server:
        recorded("study", server, [("slow", 4)], [rtk.Budget(seconds=LATE)], concurrency=8)
    (line,) = [line for line in (tmp_path / "study.jsonl").read_text("utf-8").splitlines() if "stopped" in line]
    assert line.startswith('{"address":["')
    assert line.endswith('","0",1],"beyond":[2,3],"called":true,"stopped":1.5,"turn":0}')


def test_units_are_those_that_are_tested():
    """A new unit is to be replayed too."""
    assert {*MOST, "seconds"} == set(UNITS)


def test_a_run_that_was_interrupted_is_recorded_as_far_as_it_came():
    """A cancelled ask leaves what had come, and no deadline: the next run draws the rest."""

    async def ask(server):
        seen = asyncio.Event()
        loop = asyncio.get_running_loop()
        with rtk.watch(lambda event: loop.call_soon_threadsafe(seen.set)), rtk.Budget(seconds=60):
            task = asyncio.ensure_future(model(server).acall("slow", n=2))
        await seen.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with ScriptedServer(hanging(1)) as server, rtk.recording("study") as recording:
        asyncio.run(ask(server))
        assert len(recording) == 1
    assert replayed("study", [("slow", 1)], [rtk.Budget(seconds=60)])[0] == [(["reply 0"], None, None)]
    assert replayed("study", [("slow", 2)], [rtk.Budget(seconds=60)])[0][0][0] is NotRecorded
