"""A strategy is a DSPy module: its predictors are found, copied, reset, saved and loaded as any module's."""

import copy
import json

import dspy
import pytest
from scripted import asks, chain, chat, choices, serving

import rtk
from rtk.errors import StrategyError


class Nested(dspy.Module):
    """A user's module that holds strategies: as an attribute, in a list and in a dict."""

    def __init__(self):
        super().__init__()
        self.vote = rtk.SelfConsistency("question -> answer", samples=3)
        self.trees = [rtk.TreeOfThoughts("question -> answer", breadth=4)]
        self.named = {"chain": rtk.ChainOfThought("question -> answer")}

    def forward(self, question):
        return self.vote(question=question)


def names(program):
    return [name for name, _ in program.named_predictors()]


# --- predictors ---


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (rtk.ChainOfThought("question -> answer"), ["predict"]),
        (rtk.SelfConsistency("question -> answer"), ["chain.predict"]),
        (rtk.SelfConsistency(dspy.Predict("question -> answer")), ["chain"]),
        (rtk.TreeOfThoughts("question -> answer"), ["propose.predict", "value.predict", "answer.predict"]),
        (rtk.TreeOfThoughts("question -> answer", values=0, separator=" "), ["propose.predict"]),
        (
            rtk.SelfConsistency(rtk.TreeOfThoughts("question -> answer", values=0)),
            ["chain.propose.predict", "chain.answer.predict"],
        ),
        (
            Nested(),
            [
                "vote.chain.predict",
                "trees[0].propose.predict",
                "trees[0].value.predict",
                "trees[0].answer.predict",
                "named['chain'].predict",
            ],
        ),
    ],
)
def test_all_predictors_of_a_strategy_are_found(program, expected):
    """`named_predictors` names every predictor once, also within other strategies, modules, lists and dicts."""
    assert names(program) == expected


def test_set_lm_reaches_every_predictor():
    """`set_lm` and `get_lm` work on a strategy and on a module that holds some."""
    program, lm = Nested(), rtk.LM("openai/scripted", api_base="http://127.0.0.1:1", api_key="x")
    program.set_lm(lm)
    assert all(predictor.lm is lm for _, predictor in program.named_predictors())
    assert program.get_lm() is lm
    assert program.vote.get_lm() is lm


def test_a_predictors_own_lm_is_asked():
    """An LM set on a strategy's predictors goes before DSPy's."""
    program = rtk.SelfConsistency("question -> answer", samples=2)
    with serving(choices(["right"])) as mine:
        program.set_lm(dspy.settings.lm)
        with serving(choices(["wrong"])) as other:
            assert program(question="?").answer == "right"
            assert (mine.count, other.count) == (1, 0)


def test_demos_and_config_of_a_predictor_reach_the_model():
    """Demonstrations, instructions and sampling parameters of the predictor are in the request."""
    program = rtk.SelfConsistency("question -> answer", samples=2)
    program.chain.predict.demos = [dspy.Example(question="1+1?", reasoning="sum", answer="2")]
    program.chain.predict.config = {"top_p": 0.5}
    program.chain.predict.signature = program.chain.predict.signature.with_instructions("Answer in Latin.")
    with serving(choices(["duo"])) as server:
        program(question="2?")
        sent = server.requests[0]
    assert "1+1?" in sent.prompt
    assert "Answer in Latin." in sent.prompt
    assert sent.body["top_p"] == 0.5


# --- copies ---


@pytest.mark.parametrize("how", [copy.deepcopy, lambda one: one.deepcopy(), lambda one: one.reset_copy()])
def test_a_copy_has_settings_of_its_own(how):
    """Copies take the settings along, and changing theirs changes nothing else."""
    program = rtk.SelfConsistency(rtk.TreeOfThoughts("question -> answer", breadth=5), samples=3, vote="median")
    twin = how(program)
    twin.samples, twin.chain.breadth = 7, 9
    assert (program.samples, program.vote, program.chain.breadth) == (3, "median", 5)
    assert (twin.samples, twin.vote, twin.chain.breadth) == (7, "median", 9)
    assert twin.chain.propose.predict is not program.chain.propose.predict


def test_reset_copy_forgets_demonstrations_and_keeps_settings():
    """Resetting is about what optimizers learned."""
    program = rtk.SelfConsistency("question -> answer", samples=3)
    program.chain.predict.demos = [dspy.Example(question="1", answer="2")]
    fresh = program.reset_copy()
    assert fresh.chain.predict.demos == []
    assert fresh.samples == 3


class Uncopyable:
    """A vote that holds what cannot be copied, as a connection does."""

    def __call__(self, answers):
        return rtk.answers.vote(answers)

    def __deepcopy__(self, memo):
        raise TypeError("there is only one of me")


def test_a_setting_that_cannot_be_copied_is_shared_and_the_others_are_not():
    """A function or object among the settings does not tie the copies together."""
    program = rtk.SelfConsistency("question -> answer", samples=3, vote=Uncopyable())
    twin = program.deepcopy()
    twin.samples = 7
    assert program.samples == 3
    assert twin.vote is program.vote


def test_wrapping_a_compiled_module_takes_a_copy_that_optimizers_see():
    """A compiled module is frozen to DSPy; inside a strategy its predictors and demos are there, unfrozen."""
    compiled = dspy.ChainOfThought("question -> answer")
    compiled.predict.demos = [dspy.Example(question="1", reasoning="r", answer="2")]
    compiled._compiled = True
    program = rtk.SelfConsistency(compiled)
    assert names(program) == ["chain.predict"]
    assert program.chain.predict.demos == compiled.predict.demos
    assert program.chain is not compiled
    assert (program.chain._compiled, compiled._compiled) == (False, True)


# --- saving ---


def test_settings_and_demos_survive_saving_inside_a_users_module(tmp_path):
    """JSON holds what was set and learned, of strategies within modules too."""
    program = Nested()
    program.vote.samples, program.vote.vote, program.trees[0].search = 5, "median", "dfs"
    program.vote.chain.predict.demos = [dspy.Example(question="1", reasoning="r", answer="2")]
    program.save(tmp_path / "program.json")
    loaded = Nested()
    loaded.load(tmp_path / "program.json")
    assert (loaded.vote.samples, loaded.vote.vote) == (5, "median")
    assert (loaded.trees[0].search, loaded.trees[0].breadth) == ("dfs", 4)
    assert [dict(demo) for demo in loaded.vote.chain.predict.demos] == [
        {"question": "1", "reasoning": "r", "answer": "2"}
    ]


def test_a_saved_dspy_chain_loads_into_ours_and_back(tmp_path):
    """The predictor is called `predict` and its field `reasoning`, so files go both ways."""
    theirs = dspy.ChainOfThought("question -> answer")
    theirs.predict.demos = [dspy.Example(question="1", reasoning="r", answer="2")]
    theirs.predict.signature = theirs.predict.signature.with_instructions("Be brief.")
    theirs.save(tmp_path / "theirs.json")
    ours = rtk.ChainOfThought("question -> answer")
    ours.load(tmp_path / "theirs.json")
    assert ours.predict.signature.instructions == "Be brief."
    assert dict(ours.predict.demos[0]) == {"question": "1", "reasoning": "r", "answer": "2"}
    ours.save(tmp_path / "ours.json")
    back = dspy.ChainOfThought("question -> answer")
    back.load(tmp_path / "ours.json")
    assert back.predict.signature.instructions == "Be brief."


def test_a_function_among_the_settings_is_named_in_the_file_and_taken_from_the_program(tmp_path):
    """JSON cannot hold a function: it is given again where the program is built."""
    path = tmp_path / "program.json"
    rtk.SelfConsistency("question -> answer", samples=3, vote=rtk.answers.vote).save(path)
    assert "the function vote" in path.read_text("utf-8")
    loaded = rtk.SelfConsistency("question -> answer", vote=rtk.answers.vote)
    loaded.load(path)
    assert (loaded.samples, loaded.vote) == (3, rtk.answers.vote)


def test_a_function_that_is_missing_where_a_program_is_loaded_is_said_clearly(tmp_path):
    """A saved vote function is never silently replaced by the majority, and nothing is loaded by half."""
    path = tmp_path / "program.json"
    rtk.SelfConsistency("question -> answer", samples=3, vote=rtk.answers.vote).save(path)
    program = rtk.SelfConsistency("question -> answer")
    with pytest.raises(StrategyError, match="vote= of the saved program was the function vote") as caught:
        program.load(path)
    assert "vote=" in caught.value.mend
    assert program.samples == 8


def test_settings_of_another_strategy_are_refused(tmp_path):
    """A file with settings that a strategy does not have names them."""
    path = tmp_path / "program.json"
    program = rtk.SelfConsistency("question -> answer")
    program.save(path)
    state = json.loads(path.read_text("utf-8"))
    state["settings"]["effort"] = 3
    path.write_text(json.dumps(state), "utf-8")
    with pytest.raises(StrategyError, match="effort"):
        program.load(path)


def test_a_loaded_program_runs_with_its_settings(tmp_path):
    """What was loaded is what is done."""
    rtk.SelfConsistency("question -> answer", samples=3).save(tmp_path / "program.json")
    program = rtk.SelfConsistency("question -> answer")
    program.load(tmp_path / "program.json")
    with serving(choices(["a", "b", "b"])) as server:
        assert program(question="?").answer == "b"
        assert server.choices_served == 3


class Forgetful(rtk.Strategy):
    """A strategy that does not call `super().__init__()`, and has a setting."""

    tries = rtk.Setting(2)

    def __init__(self):
        self.draft = dspy.ChainOfThought("question -> answer")

    def flow(self, **inputs):
        """As many drafts as set; the last one."""
        drafts = yield rtk.ask(self.draft, inputs, samples=self.tries)
        return drafts[-1]


def test_a_users_setting_is_kept_like_ours(tmp_path):
    """A `Setting` of a user's strategy has its default, is its own for each instance, and is saved."""
    one, other = Forgetful(), Forgetful()
    one.tries = 3
    assert other.tries == 2
    one.save(tmp_path / "one.json")
    other.load(tmp_path / "one.json")
    with serving([chain("a"), chain("b"), chain("c")]):
        assert other(question="?").answer == "c"


def test_agents_vote_and_their_calls_are_samples_like_any():
    """`dspy.ReAct` in a vote: each agent runs in a stream of its own, its tools run, and four more draw only theirs."""
    ran = []

    def add(a: int, b: int) -> int:
        """Add."""
        ran.append((a, b))
        return a + b

    def script(received):
        if asks(received, "next_tool_name"):
            first = "observation_0" not in received.prompt
            name, args = ("add", '{"a": 2, "b": 2}') if first else ("finish", "{}")
            return chat(next_thought="so", next_tool_name=name, next_tool_args=args)
        return chat(reasoning="r", answer=received.last.partition("observation_0")[2].strip("] #\n")[:1])

    with serving(script, server_n=False) as server:
        program = rtk.SelfConsistency(dspy.ReAct("question -> answer", tools=[add]), samples=2)
        found = program(question="2 + 2?")
        assert (found.answer, ran, server.count) == ("4", [(2, 2)] * 2, 2 * 3)
        program.samples = 4
        assert program(question="2 + 2?").vote.votes == 4
        assert server.count == 4 * 3
    assert [name for name, _ in program.named_predictors()] == ["chain.react", "chain.extract.predict"]
