"""The support task: its data, its splits, how it loads, and its demonstrations."""

import re
from collections import Counter, defaultdict
from itertools import combinations

import dspy
import pytest

import rtk.tasks
from rtk.errors import TaskError

RUN = 4
ARITHMETIC, GAME24 = "fd62061d0f40e995", "762d7493dc5aed53"  # ten test questions at seed 3
KINDS = ("straightforward", "troubleshooting", "unanswerable")


@pytest.fixture(scope="module")
def task():
    return rtk.tasks.load("support")


@pytest.fixture(scope="module")
def every(task):
    return [*task.train, *task.dev, *task.test]


def _runs(text):
    words = re.sub(r"[^\w\s]", "", re.sub("[-–—]", " ", text.casefold())).split()
    return {tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1)}


# --- data -------------------------------------------------------------------------------------------------------


def test_there_are_pairs_and_questions_enough(task, every):
    """Over sixty pairs, and over a hundred and fifty questions of three kinds, no two the same."""
    assert len({pair["id"] for pair in task.passages}) == len(task.passages) >= 60
    kinds = Counter(example.kind for example in every)
    assert len({example.question for example in every}) == len(every) >= 150
    assert kinds["straightforward"] >= 75
    assert kinds["troubleshooting"] >= 35
    assert kinds["unanswerable"] >= 30


def test_a_pair_is_plain_text(task):
    """Each pair has an id, a question and an answer of one to four sentences."""
    for pair in task.passages:
        assert set(pair) == {"id", "question", "answer"}
        assert all(value == value.strip() and value for value in pair.values())
        assert len(re.findall(r"\.(?:\s|$)", pair["answer"])) <= 5
        assert len(pair["answer"].split()) <= 60


def test_questions_are_in_the_customers_own_words(task, every):
    """No question shares a run of four words with the question or the answer of any pair."""
    of_pairs = defaultdict(set)
    for pair in task.passages:
        for run in _runs(pair["question"]) | _runs(pair["answer"]):
            of_pairs[run].add(pair["id"])
    shared = {(example.question, " ".join(run)) for example in every for run in _runs(example.question) & set(of_pairs)}
    assert shared == set()


def test_every_kind_rests_on_the_pairs_it_should(task, every):
    """A straightforward question has one pair and its answer, a troubleshooting one working, an unanswerable none."""
    answers = {pair["id"]: pair["answer"] for pair in task.passages}
    for example in every:
        assert set(example.sources) <= set(answers)
        if example.kind == "straightforward":
            assert [answers[source] for source in example.sources] == [example.answer]
            assert example.facts
        elif example.kind == "troubleshooting":
            assert example.sources
            assert example.facts
            assert example.working
        else:
            assert (example.answer, example.sources, example.facts) == (None, [], [])


def test_no_pair_alone_answers_what_is_not_straightforward(task, every):
    """A pair's answer is right for straightforward questions that rest on it, and for no other question."""
    for example in every:
        for pair in task.passages:
            own = example.kind == "straightforward" and pair["id"] in example.sources
            assert task.metric(example, pair["answer"]) is own, (example.question, pair["id"])


def test_calculations_are_true(every):
    """In every working, both sides of an equation are equal."""
    checked = 0
    for example in every:
        for equation in re.findall(r"[\d.,:£p%]+(?: [-+×/] [\d.,£p%]+)+ = [\d.,£p]+", example.working):
            left, right = equation.split(" = ")
            if ":" in left or ("£" in left and "p" in equation):
                continue  # a time of day, or pounds by pence
            scale = 100 if "p" in left and "£" in right else 1
            assert _value(left) == pytest.approx(_value(right) * scale, rel=0.002), equation
            checked += 1
    assert checked > 40


def _value(text):
    parts = re.sub(r"[£p,]|\.$", "", text).split()
    value = _one(parts[0])
    for sign, part in zip(parts[1::2], parts[2::2], strict=True):
        number = _one(part)
        value = {"+": value + number, "-": value - number, "×": value * number, "/": value / number}[sign]
    return value


def _one(text):
    return float(text.rstrip(".%")) / (100 if "%" in text else 1)


# --- splits and loading -----------------------------------------------------------------------------------------


def test_splits_hold_all_kinds(task):
    """Without a size every question is there, seventy for test and forty-five for dev at least, all kinds in each."""
    assert len(task.test) >= 70
    assert len(task.dev) >= 45
    for split in (task.train, task.dev, task.test):
        assert {example.kind for example in split} == set(KINDS)


def test_what_is_asked_about_a_pair_is_in_one_split(task):
    """No two splits have a question whose first pair is the same."""
    about = [
        {example.sources[0] for example in split if example.sources} for split in (task.train, task.dev, task.test)
    ]
    assert all(a.isdisjoint(b) for a, b in combinations(about, 2))


def test_a_size_takes_the_first(task):
    """A size keeps the first test questions in their order, half as many for dev, and forty for training at most."""
    few = rtk.tasks.load("support", size=30)
    assert (len(few.test), len(few.dev)) == (30, 15)
    assert len(few.train) == min(40, len(task.train))
    assert [one.toDict() for one in few.test] == [one.toDict() for one in task.test[:30]]
    assert few.fingerprint != task.fingerprint


def test_more_than_there_are_is_refused(task):
    """A size beyond the fixed questions is an error that names how many there are."""
    with pytest.raises(TaskError, match="too few different questions") as caught:
        rtk.tasks.load("support", size=len(task.test) + 1)
    assert f"size={len(task.test)}" in caught.value.mend


@pytest.mark.parametrize(("arguments", "message"), [({"size": 0}, "asks nothing"), ({"level": 2}, "no level 2")])
def test_what_there_is_not_is_refused(arguments, message):
    """A size of none and another level are errors as for every task."""
    with pytest.raises(TaskError, match=message):
        rtk.tasks.load("support", **arguments)


def test_a_seed_shuffles(task):
    """Another seed has the same questions in each split, in another order."""
    other = rtk.tasks.load("support", seed=1)
    for split in ("train", "dev", "test"):
        one, two = ([example.question for example in getattr(made, split)] for made in (task, other))
        assert sorted(one) == sorted(two)
        assert one != two


def test_an_example_asks_its_question_alone(task):
    """The question is the only input; facts and sources are beside it."""
    example = task.test[0]
    assert list(example.inputs().keys()) == ["question"]
    assert {"answer", "kind", "sources", "facts", "id"} <= set(example.keys())
    assert re.fullmatch(r"support/1/0/\d+", example.id)


def test_passages_are_part_of_what_a_task_is(task):
    """Passages are on the card and in the fingerprint; other tasks have none."""
    assert f"{len(task.passages)}" in task._repr_html_()
    assert "passages" in task._repr_html_()
    other = rtk.tasks.load("arithmetic", size=1)
    assert other.passages == ()
    assert "passages" not in other._repr_html_()


def test_other_tasks_keep_their_fingerprints():
    """A task without passages has the fingerprint that it has always had."""
    assert rtk.tasks.load("arithmetic", size=10, seed=3).fingerprint.startswith(ARITHMETIC)
    assert rtk.tasks.load("game24", size=10, seed=3).fingerprint.startswith(GAME24)


# --- demonstrations ---------------------------------------------------------------------------------------------


def test_demonstrations_are_worked(task):
    """Each has the pairs that it rests on, reasoning, and an answer that the metric holds for right."""
    demos = task.demos(len(task.train))
    assert Counter(example.kind for example in task.train)["troubleshooting"] >= 4
    for demo, example in zip(demos, task.train, strict=True):
        assert list(demo.inputs().keys()) == ["question", "context"]
        assert demo.reasoning
        assert len(demo.context) == max(1, len(example.sources))
        assert task.metric(example, demo.answer)


def test_demonstrations_fit_both_signatures(task):
    """A predictor with or without a context takes them."""
    lm = dspy.utils.DummyLM([{"reasoning": "r", "answer": "a"}] * 2)
    for signature in (task.signature, "question, context: list[str] -> answer"):
        program = dspy.ChainOfThought(signature)
        program.predict.demos = task.demos(4)
        fields = {"context": ["c"]} if "context" in program.predict.signature.input_fields else {}
        with dspy.context(lm=lm):
            assert program(question="q", **fields).answer == "a"
        assert task.demos(1)[0].reasoning in str(lm.history[-1]["messages"])


def test_a_stranger_is_not_explained(task):
    """A demonstration is of the task's own questions alone."""
    with pytest.raises(TaskError, match="not a question of the task") as caught:
        task._family.explain({"question": "What time is it?"})
    assert "support" in caught.value.mend
