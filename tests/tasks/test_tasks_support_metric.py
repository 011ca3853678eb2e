"""The support task's metric: near misses, listings, figures in other words, and when no answer is the right one."""

import dspy
import pytest

import rtk.tasks
from rtk.errors import TaskError
from rtk.tasks.support_scoring import abstains, amounts_in, holds, right, words_of


@pytest.fixture(scope="module")
def task():
    return rtk.tasks.load("support")


@pytest.fixture(scope="module")
def asked(task):
    """A question by how it begins."""
    every = [*task.train, *task.dev, *task.test]

    def find(beginning):
        (found,) = (example for example in every if example.question.startswith(beginning))
        return found

    return find


# --- words ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("£2.20", "220 pence"),
        ("£2.20", "2.2 pounds"),
        ("26p", "£0.26"),
        ("£4,650", "4650 pounds"),
        ("300 W", "0.3 kW"),
        ("300W", ".30 kilowatts"),
        ("twenty-eight days", "28 days"),
        ("Twenty days", "20 days"),
        ("eleven hours", "11 hrs"),
        ("half an hour", "half hour"),
        ("70 %", "70 per cent"),
        ("45 °C", "45 degrees Celsius"),
        ("10.8 kilowatt-hours", "10.80kWh"),
        ("00:30", "12:30 a.m."),
        ("21:10", "9.10 pm"),
        ("F-11", "f11"),
        ("the 19th", "19"),
        ("won't", "wo not"),
        ("5 hours [1], free [2, 3].", "5 hours, free"),
    ],
)
def test_the_same_in_other_writing(one, other):
    """Numbers, units, times and codes compare by what they say."""
    assert words_of(one) == words_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("14", "140"), ("1.4 kW", "14 kW"), ("5 hours", "5 days"), ("£5", "5p"), ("5:30", "15:30"), ("F11", "F12")],
)
def test_near_figures_differ(one, other):
    """A figure is not one that merely looks like it."""
    assert not holds(words_of(f"It is {other}."), [one])
    assert holds(words_of(f"It is {one}, I say."), [one])


def test_amounts_share_a_unit():
    """In a list of numbers the unit counts for each."""
    assert amounts_in(words_of("3 or 4 hours, then two working days")) == {("3", "hour"), ("4", "hour"), ("2", "day")}


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("It is not 5 hours.", False),
        ("No, 5 hours.", True),
        ("It isn't 5 hours, it takes 5 hours.", True),
        ("never 5 hours", False),
        ("not more than 5 hours", True),
    ],
)
def test_what_is_denied_is_not_said(text, held):
    """A fact directly after a denial does not count; a `no` with a comma after it denies nothing that follows."""
    assert holds(words_of(text), ["5 hours"]) is held


def test_a_beginning_can_be_asked_for():
    """A mark before an alternative ties it to the start of the answer."""
    assert holds(words_of("No, we do not."), ["^ no"])
    assert not holds(words_of("There is no hood."), ["^ no"])


def test_facts_and_what_is_against_them():
    """All facts, nothing written down as wrong, no amount in a fact's unit from nowhere."""
    facts, known = [["3 hours"], ["£5"]], ["It draws for 2 hours."]
    assert right("3 hours and £5", facts, [], known)
    assert right("First 2 hours, in all 3 hours, for £5 and 7 days", facts, [], known)
    assert not right("3 hours", facts, [], known)
    assert not right("3 or 4 hours and £5", facts, [], known)
    assert not right("3 hours and £5 or £6", facts, [], known)
    assert not right("3 hours and £5, is broken", facts, ["is broken"], known)
    assert right("3 hours and £5, and nothing is not broken", facts, ["broken"], known)
    assert not right("3 hours and £5", [], [], known)


# --- straightforward questions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("beginning", "answer", "is_right"),
    [
        ("I've found a cheaper supplier", "14 days", True),
        ("I've found a cheaper supplier", "You give us two weeks' notice.", True),
        ("I've found a cheaper supplier", "28 days", False),
        ("I've found a cheaper supplier", "14 days, or 28 days to be safe", False),
        ("what's owl's daytime cost", "31p per kWh", True),
        ("what's owl's daytime cost", "£0.31 for each unit", True),
        ("what's owl's daytime cost", "10p per kWh", False),
        ("We're three-phase here", "£1,150 with fitting", True),
        ("We're three-phase here", "1150 pounds", True),
        ("We're three-phase here", "£690", False),
        ("We're three-phase here", "£690 or £1,150", False),
        ("do your engineers work on sundays", "No.", True),
        ("do your engineers work on sundays", "Monday to Saturday only", True),
        ("do your engineers work on sundays", "Yes, Monday to Saturday and Sunday.", False),
        ("do your engineers work on sundays", "Yes", False),
        ("Our Cairn has had its day", "We collect it, and it costs nothing.", True),
        ("Our Cairn has had its day", "Collection is £35.", False),
        ("From when to when", "Between half past midnight and 5:30", True),
        ("From when to when", "from 12:30 am until 5.30 a.m.", True),
        ("From when to when", "00:30 to 06:30", False),
        ("Does your hub work with 5", "Only 2.4 GHz", True),
        ("Does your hub work with 5", "Yes, 2.4 GHz and 5 GHz both work.", False),
    ],
)
def test_straightforward_answers(task, asked, beginning, answer, is_right):
    """The fact that was asked for decides, in any words, and a near one is wrong."""
    assert task.metric(asked(beginning), dspy.Prediction(answer=answer)) is is_right


def test_a_pair_quoted_is_right(task):
    """The whole answer of the question's pair is right, also in other case and with words around it."""
    for example in task.train:
        if example.kind == "straightforward":
            assert task.metric(example, example.answer)
            assert task.metric(example, f"Hello! {example.answer.upper().rstrip('.')}")


def test_another_pairs_answer_is_wrong(task, asked):
    """Half an hour is right for a locked switch; a pair about something else that lasts as long is not."""
    example = asked("The Harbour switch gave up three times")
    others = {pair["id"]: pair["answer"] for pair in task.passages}
    assert task.metric(example, "It stays locked for 30 minutes.")
    assert not task.metric(example, others["code-c09"])
    assert not task.metric(example, f"{example.answer} {others['code-c09']}")


# --- troubleshooting --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("beginning", "answer", "is_right"),
    [
        ("My Cairn 12 is completely flat", "2.7 hours", True),
        ("My Cairn 12 is completely flat", "About 2 hours and 42 minutes.", True),
        ("My Cairn 12 is completely flat", "10.8 kWh / 4 kW = 2.7 hours", True),
        ("My Cairn 12 is completely flat", "3 hours", False),
        ("My Cairn 12 is completely flat", "12 / 4 = 3 hours, or 2.7 hours", False),
        ("My Cairn 12 is completely flat", "27 hours", False),
        ("What will thirty days on Steady", "300 × £0.26 = £78, plus £13.50: £91.50", True),
        ("What will thirty days on Steady", "£91.5", True),
        ("What will thirty days on Steady", "£78", False),
        ("What will thirty days on Steady", "£91.05", False),
        ("What will thirty days on Steady", "Between £80 and £91.50", False),
        ("Over 30 days I use 100 kWh", "Owl is cheaper by £3.90.", True),
        ("Over 30 days I use 100 kWh", "£87.60 on Owl against £91.50 on Steady, so Owl saves £3.90", True),
        ("Over 30 days I use 100 kWh", "Owl", False),
        ("Over 30 days I use 100 kWh", "Steady is cheaper than Owl by £3.90.", False),
        ("Twelve Sunledge modules", "3720 kWh and a Weir 6", True),
        ("Twelve Sunledge modules", "3,720 kWh, with a Weir 4", False),
        ("Twelve Sunledge modules", "4,560 kWh, with a Weir 6", False),
        ("F11 has popped up", "Your grid operator; it is 4 volts over.", True),
        ("F11 has popped up", "Our engineer; it is 4 volts over.", False),
        ("40 metres from hub", "One repeater, £39", True),
        ("40 metres from hub", "Two repeaters, £78", False),
        ("Minus six in the garage", "It is not faulty: 2 kW is right in the cold.", True),
        ("Minus six in the garage", "It should be 4 kW, so it is faulty.", False),
    ],
)
def test_troubleshooting_answers(task, asked, beginning, answer, is_right):
    """The definite facts decide, numbers as numbers; a hedge between figures is wrong."""
    assert task.metric(asked(beginning), dspy.Prediction(answer=answer)) is is_right


def test_gold_and_working_are_right(task):
    """The gold answer of every question is right, and so is the working that leads to a calculated one."""
    for example in [*task.train, *task.dev, *task.test]:
        if example.kind != "unanswerable":
            assert task.metric(example, example.answer), example.question
        if example.kind == "troubleshooting":
            assert task.metric(example, example.working), example.question


def test_a_listing_is_wrong(task):
    """An answer that lists what is known is wrong everywhere, though all facts are in it."""
    everything = " ".join(pair["answer"] for pair in task.passages)
    money = " ".join(f"£{pounds}" for pounds in range(1000))
    for example in [*task.dev, *task.test]:
        assert not task.metric(example, everything)
        assert not task.metric(example, money)
        sources = [pair["answer"] for pair in task.passages if pair["id"] in example.sources]
        if example.kind == "troubleshooting":
            assert not task.metric(example, " ".join(sources))


# --- no answer --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [None, "", "  \n", "None", "N/A", "I do not know.", "Sorry, I don't know that."])
def test_no_answer_is_right_where_there_is_none(task, answer):
    """Silence, in whatever form, is right for an unanswerable question and wrong for every other."""
    for example in [*task.dev, *task.test]:
        assert task.metric(example, dspy.Prediction(answer=answer)) is (example.kind == "unanswerable")


def test_an_empty_prediction_is_no_answer(task):
    """A prediction without any output is an abstention too."""
    example = next(example for example in task.dev if example.kind == "unanswerable")
    assert task.metric(example, dspy.Prediction()) is True


@pytest.mark.parametrize(
    "answer",
    [
        "I cannot answer this. A colleague will get back to you.",
        "The passages do not say.",
        "There is no information about that.",
        "Unfortunately, I can't tell; I will hand this over to a person.",
        "I do not have this information. Please contact our support team.",
        "This is not mentioned in the FAQ.",
    ],
)
def test_saying_so_is_no_answer(answer):
    """A text that says that it knows none, or hands over, and nothing else, is an abstention."""
    assert abstains("What does F52 mean?", answer)


@pytest.mark.parametrize(
    "answer",
    [
        "It means that the battery is too hot.",
        "I do not know, but it is probably the fan.",
        "The FAQ does not say. Restart the inverter.",
        "I don't know exactly. About 5 years.",
        "The passages do not mention it, usually it is 10 A.",
        "Please contact our support team.",
        "No.",
        "Not covered by the guarantee.",
    ],
)
def test_a_guess_is_an_answer(answer):
    """Whoever says that they do not know and then tells something has answered."""
    assert not abstains("What does F52 mean?", answer)


def test_a_guess_at_the_unanswerable_is_wrong(task):
    """Any answer to an unanswerable question is wrong, also one that begins with not knowing."""
    for example in task.test:
        if example.kind == "unanswerable":
            assert task.metric(example, "10 years") is False
            assert task.metric(example, "I do not know, but it is probably fine.") is False


def test_silence_is_wrong_for_other_tasks():
    """A task whose questions all have answers holds no answer for wrong, as ever."""
    task = rtk.tasks.load("arithmetic", size=1)
    assert task.metric(task.test[0], None) is False


def test_a_foreign_example_is_no_wrong_one(task):
    """An example without what the scorer needs is an error, not a wrong answer."""
    with pytest.raises(TaskError, match="no 'kind'"):
        task.metric(dspy.Example(question="?", answer="a").with_inputs("question"), "a")
