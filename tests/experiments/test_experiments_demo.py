"""The demo study: its rows, its controls, and what a second run costs."""

import random
import re

import pytest

import rtk
from rtk.experiments import demo
from rtk.testing import Received, Reply, ScriptedServer

SIZE = 3


def clever(received: Received):
    """A model that calculates right, one time in two."""
    luck = random.Random(f"{received.prompt}{received.choice}{received.occurrence}").random() < 0.5
    question = received.last
    if found := re.search(r"\((\d+) \+ (\d+)\) × (\d+)", question):
        a, b, c = map(int, found.groups())
        answer = str((a + b) * c if luck else 1)
    else:
        answer = _sequence(question, luck)
    if "partial:" in question:
        known = [one for one in question.partition("partial:")[2].strip().split(", ") if one]
        return f"reasoning: so it is\nthought: {answer.split(', ')[len(known)]}"
    return Reply(f"reasoning: so it is\nanswer: {answer}")


def _sequence(question, luck):
    numbers = [int(re.search(r"first number is (\d+)", question)[1])]
    for operator, k in re.findall(r"the (?:first|second) (plus|minus|times) (\d+)", question):
        last, k = numbers[-1], int(k)
        numbers.append({"plus": last + k, "minus": last - k, "times": last * k}[operator])
    return ", ".join(map(str, numbers if luck else [20] * len(numbers)))


@pytest.fixture
def server():
    with ScriptedServer(clever) as running:
        yield running


def study(server, **options):
    return demo(rtk.LM("openai/scripted", api_base=server.url, api_key="x"), size=SIZE, **options)


def test_every_arm_has_a_row_with_its_interval_and_cost(server):
    """Direct, chain, votes and trees are all there, each on all its questions."""
    rows = study(server).rows()
    named = [(row["task"], row["strategy"]) for row in rows]
    for strategy in ("direct", "chain of thought", "self-consistency"):
        assert ("arithmetic", strategy) in named
        assert ("hidden_sequence", strategy) in named
    for row in rows:
        assert row["n"] == (2 * SIZE if row["task"] == "arithmetic" else SIZE)
        assert 0 <= row["low"] <= row["accuracy"] <= row["high"] <= 1
        assert row["failed"] == 0


def test_budgets_of_one_strategy_share_their_samples(server):
    """A vote of eight draws only what a chain and a vote of four have not drawn."""
    frame = study(server).results["arithmetic"].rows("program", "drawn", "consulted")
    sums = frame.groupby("program", sort=False).sum()[1:]
    assert list(sums["drawn"]) == [2 * SIZE, 6 * SIZE, 8 * SIZE]
    assert list(sums["consulted"]) == [2 * SIZE, 8 * SIZE, 16 * SIZE]


def test_a_second_run_draws_nothing_and_finds_the_same(server):
    """Every sample comes from the store, and the table is the same but for nothing."""
    first = study(server)
    count = server.count
    second = study(server)
    assert server.count == count
    assert (second.drawn, second.reused) == (0, first.drawn + first.reused)
    assert second.rows() == first.rows()


def test_the_controls_show_what_the_checker_does_by_itself(server):
    """There is a tree without a checker, and a checker without a model: no sample, and as many checks at most."""
    rows = {(row["strategy"], row["budget"]): row for row in study(server).rows() if row["task"] == "hidden_sequence"}
    tree = rows["tree of thoughts", "4 a step"]
    chance = rows["random, checked", "4 a step"]
    assert chance["samples"] == chance["tokens"] == 0
    assert 0 < chance["checks"] <= SIZE * (4 + 2 * 4 + 2 * 4)
    assert 0 < tree["checks"] <= SIZE * (4 + 2 * 4 + 2 * 4)
    assert rows["tree, unchecked", "4 a step"]["checks"] == 0


def test_progress_counts_up_to_all_questions(server):
    """The bar ends where it should."""
    told = []
    study(server, progress=lambda arm, done, total: told.append((done, total)))
    assert told[-1] == (len(told), len(told))


def test_a_tree_is_shown_that_found_its_answer(server):
    """The puzzle that is printed comes with its deliberation."""
    row, told = study(server).shown
    assert row["answer"] == row["gold"]
    assert "fits all clues" in told.text()


def test_the_study_prints_the_same_every_time(server):
    """The study prints a line for each arm, and a second run prints the same letters."""
    first, second = study(server), study(server)
    assert repr(first) == repr(second)
    assert len(repr(first).splitlines()) == 1 + len(first.rows())


@pytest.mark.embedded
@pytest.mark.slow
def test_the_embedded_model_runs_the_study_and_reuses_it():
    """Live on the model that rtk brings along; the second run draws none. What it scores is measured, not asserted."""
    lm = rtk.LM("embedded")
    first = demo(lm, size=1)
    assert first.drawn > 0
    second = demo(lm, size=1)
    assert second.drawn == 0
    assert second.rows() == first.rows()
