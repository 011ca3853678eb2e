"""Every public call of rtk, written once and only type-checked: what a notebook's completion offers stays whole.

`pyright` reads this file; nothing runs it. `tests/house` sees to it that no public name is missing.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, assert_type

import dspy

import rtk
from rtk.strategies import Forecast, Span

# --- models and samples ---


def models(folder: Path) -> rtk.LM:
    """All that `rtk.LM` takes, and what its copies and calls are."""
    store = rtk.SampleStore(folder)
    rtk.SampleStore(str(folder), timeout=5.0, make=False)
    with rtk.SampleStore() as default:
        assert_type(default.path, Path)
        assert_type(default.count(), int)
    lm = rtk.LM("embedded", gguf=folder / "model.gguf", slots=4, context=2048, store=store)
    rtk.LM("ollama_chat/NAME", server_n=False, transport="direct", max_tokens=200, seed=1)
    rtk.LM("openai/NAME", api_base="http://127.0.0.1:8000/v1", api_key="…", timeout=60, store=folder, concurrency=32)
    rtk.LM("openai/NAME", temperature=0.2, revision="2", price=(0.15, 0.6), num_retries=5, cache=False)
    rtk.LM("hosted_vllm/NAME", price_per_hour=1.2, params=8e9, retries=0, deadline=300.0)
    assert_type(lm.params, float | None)
    assert_type(rtk.LM.of(dspy.LM("openai/NAME"), store=store), rtk.LM)
    assert_type(lm.store, rtk.SampleStore)
    ping = lm.ping(deadline=30.0)
    assert_type((ping.answers, ping.n, ping.seed, ping.logprobs), tuple[bool, bool | None, bool | None, bool | None])
    print(ping.error, ping.mend, ping.serves, ping.served_model, ping.response_format, ping.usage, ping.streaming)
    print(ping.seconds, ping.tokens_per_second, ping.notes)
    lm.copy(temperature=1.0, rollout_id=3)
    lm("a prompt", n=8)
    lm(messages=[{"role": "user", "content": "a prompt"}], temperature=0.0)
    dspy.configure(lm=lm, adapter=rtk.LinesAdapter())
    return lm


def exchanges(store: rtk.SampleStore, folder: Path) -> None:
    """Samples in and out of a store, those of others too."""
    assert_type(store.export(folder / "all.jsonl"), Path)
    store.export("some.jsonl.gz", where=lambda request, sample: sample.ingested or "gpt" in request.model)
    merged = store.merge(folder / "all.jsonl")
    assert_type((merged.added, merged.there), tuple[int, int])
    told = store.ingest([{"question": "…", "text": "…", "index": 0}], model="openai/NAME")
    assert_type((told.added, told.unused), tuple[int, list[str]])
    store.ingest("theirs.csv", "openai/NAME", temperature=0.2, options={"top_p": 0.9}, revision="2")
    store.ingest(folder / "theirs.jsonl", "openai/NAME", messages=lambda row: [{"role": "user", "content": row["q"]}])
    assert_type(store.verify(progress=print).ingested, int)
    for held in store.overview("0a"):
        assert_type((held.key, held.model, held.said), tuple[str, str, str])
        assert_type(held.tally.samples + held.tally.tokens + store.remove(held.key), int)
    assert_type(store.compact() + store.size, int)
    dspy.configure(adapter=rtk.TextAdapter())
    dspy.configure(adapter=rtk.TextAdapter("boxed"))


async def awaited(lm: rtk.LM, vote: rtk.SelfConsistency) -> None:
    """The async twins."""
    await lm.acall("a prompt", n=8)
    assert_type((await lm.aping()).answers, bool)
    await vote.acall(question="…", budget=rtk.Budget(samples=8))


def surroundings() -> None:
    """What goes around a call, or goes on from the first cell."""
    arrived: list[bool] = []
    standing = rtk.recording("my-study")
    assert_type(standing, rtk.Recording)
    assert_type((standing.path, standing.mode, standing.missed, len(standing)), tuple[Path, str, int, int])
    standing.save()
    standing.stop()
    with rtk.recording(Path("shared.jsonl.gz"), mode="replay") as replay:
        assert_type(replay, rtk.Recording)
    with rtk.replicate(3), rtk.watch(lambda event: arrived.append(event.reused), only=rtk.events.SampleArrived):
        rtk.ChainOfThought("question -> answer")(question="…")
    heard: list[str] = []
    with rtk.watch(parts=lambda part: heard.append(part.text + part.reasoning)):
        rtk.ChainOfThought("question -> answer")(question="…")


async def events() -> None:
    """What happens while it happens."""
    program = rtk.SelfConsistency("question -> answer")
    with rtk.watch() as seen:
        assert_type(seen, rtk.events.Events)
        async for event in seen.of(program.acall(question="…")):
            told(event)
        print(seen.result, list(seen))
    rtk.events.tell(rtk.events.ThoughtScored, text="a thought of my own", score=0.5, level=1)


def told(event: rtk.events.Event) -> object:
    """Every event, and what it holds."""
    match event:
        case rtk.events.SampleArrived():
            return event.sample, event.reused
        case rtk.events.VoteMoved():
            return event.answer, event.share, event.votes, event.size, event.of
        case rtk.events.CandidateScored():
            return event.index, event.score, event.reason
        case rtk.events.ThoughtScored():
            return event.text, event.score, event.level
        case rtk.events.BranchPruned():
            return event.text, event.reason, event.level
        case rtk.events.Backtracked():
            return event.text, event.level
        case rtk.events.CheckFailed():
            return event.text, event.reason
        case rtk.events.BestSoFar():
            return event.fields
        case rtk.events.BudgetLeft():
            return event.left, event.limits
        case rtk.events.StrategyEvent():
            return event.strategy


def part_of(part: rtk.events.SamplePart) -> str:
    """A part of a sample."""
    return f"{part.address} {part.text} {part.reasoning} {part.anew}"


# --- budgets ---


def budgets() -> None:
    """Every limit, and what is read of a budget."""
    budget = rtk.Budget(calls=7, samples=40, tokens=10_000, dollars=0.5, seconds=60)
    with budget as same, rtk.Budget(samples=8):
        assert_type(same, rtk.Budget)
    spent = budget.spent
    assert_type(spent, rtk.Spent)
    assert_type(spent.samples, int)
    assert_type(spent.dollars, float | None)
    assert_type(spent.flops, float | None)
    assert_type(spent.estimated + spent.lost, int)
    assert_type(spent.tokens + spent.drawn + spent.reused + spent.failed + spent.overdrawn + spent.calls, int)
    assert_type(budget.left, dict[str, float])
    try:
        dspy.Predict("question -> answer")(question="…")
    except rtk.BudgetSpent as over:
        assert_type(over.limit, str)


# --- strategies ---


def long_enough(inputs: Mapping[str, Any], step: str, steps_so_far: Sequence[str]) -> rtk.answers.Check:
    """A check of one step of a chain."""
    return rtk.answers.Check(len(step) > len(steps_so_far))


def strategies(task: rtk.tasks.Task, tool: dspy.Module) -> None:
    """The strategies with all their settings."""
    rtk.ChainOfThought("question -> answer", temperature=0.2)
    rtk.ChainOfThought("question -> answer", steps=5, checks=["arithmetic", long_enough], repair=2)
    rtk.ChainOfThought("question -> answer", steps=True, checks="arithmetic")
    rtk.ChainOfThought(task.signature)
    vote = rtk.SelfConsistency("question -> answer: int", samples=8, vote="median", temperature=1.0)
    rtk.SelfConsistency(tool, 8, vote=lambda answers: rtk.answers.vote(answers), field="answer", comparer="numeric")
    rtk.SelfConsistency(task.signature, vote="confidence")
    rtk.SelfConsistency(tool, 40, stop="beta", certainty=0.9, window=5, wave=2)
    rtk.SelfConsistency(tool, 40, stop=lambda found: found.margin > 0.5)
    rtk.SelfConsistency(tool, 8, "fields", exclude=("seed", "args.user"), comparer={"city": "text"})
    rtk.SelfConsistency(task.signature, 8, "weighted", weight=lambda inputs, pred: 0.5, finish_cut=True)
    rtk.SelfConsistency(task.signature, 8, "weighted", weight=dspy.Predict("question, answer -> score: float"))
    rtk.SelfConsistency(task.signature, 8, "judge", judge=dspy.Predict("one, other -> same: bool"))
    rtk.SelfConsistency(task.signature, 8, "trimmed_mean", trim=0.25)
    best = rtk.BestOfN(tool, N=3, reward_fn=lambda inputs, pred: 0.5, threshold=0.9, fail_count=1, wave=2)
    rtk.BestOfN(task.signature, 4, task.check)
    rtk.BestOfN("question -> answer", reward_fn=dspy.Predict("question, answer -> score: float"))
    refined = rtk.SelfRefine(task.signature, "critique", rounds=2, critic=dspy.Predict("attempt -> passes: bool"))
    rtk.SelfRefine(tool, ["arithmetic", lambda inputs, pred: 0.5], threshold=0.9, comparer="numeric", explain="plain")
    assert_type(refined(question="…").explanation, str | None)
    effort = rtk.AdaptiveEffort(tool, 4, (8, 16, {"samples": 4}, refined), measure=lambda found: found.margin)
    rtk.AdaptiveEffort(task.signature, probe=2, ladder=[4, 8], measure="lead", within=0.02, comparer="numeric",
                       policy={"after": {"2": [{"below": 0.8, "then": "8"}, {"then": "stop"}]}})  # fmt: skip
    if effort.plan is not None:
        assert_type(effort.plan.fixed, str | None)
    assert_type(effort.calibrate(task, within=0.02, cost="tokens", folds=4, seed=1, progress=None).why, str)
    levels = {"faq": rtk.Retriever(["a text"]), "sums": "calculator", "direct": task.signature, "deep": refined}
    cascade = rtk.Cascade(levels, signature=task.signature, accept={"faq": 0.7, "direct": False}, hand_over=True)
    rtk.Cascade([task.signature, tool], accept=0.5, confidence={"direct": "logprob"})
    assert_type(cascade.levels, dict[str, Any])
    assert_type(cascade.calibrate(task.dev, metric=task.metric, within=0.02, wrong_accepts=0.05).why, str)
    cascade.calibrate(task, cost="dollars", budget=rtk.Budget(samples=100), folds=4, seed=1, progress=None)
    verifiers(rtk.Endpoint("http://gpu-box:8000", model="reward", api="classify", question="question", api_key="key"))
    assert_type(best(question="…"), rtk.Prediction)
    reward: rtk.strategies.Reward = checked
    reward({}, None)
    rtk.TreeOfThoughts(
        task.signature, breadth=2, branching=3, depth=task.depth or 3, search="dfs", check=task.check, values=0,
        separator=", ", propose=tool,
    )  # fmt: skip
    vote.samples = 16
    vote.named_predictors()
    vote.save("vote.json")
    vote.load("vote.json")
    vote.deepcopy()
    pred = vote(question="…", budget=rtk.Budget(calls=7))
    assert_type(pred, rtk.Prediction)
    assert_type(pred.spent, rtk.Spent | None)
    print(pred.answer, pred.deliberation, pred.spent, pred.stopped, pred.confidence, pred.completions)


async def allocations(vote: rtk.SelfConsistency, task: rtk.tasks.Task) -> None:
    """One budget over many questions, and what comes of it."""
    found = rtk.allocate(vote, task, rtk.Budget(tokens=9), least=2, most=16, wave=4, progress=None)
    await rtk.aallocate(vote, [{"question": "…"}], 40)
    assert_type(found.predictions, list[rtk.Prediction])
    assert_type(found.samples, list[int])
    assert_type(found.changes, list[float])
    assert_type(found.spent, rtk.Spent)
    assert_type(found.stopped, str | None)
    print(found.short, found.unanswered, found.rows(), found.to_frame(), len(found), [one.vote for one in found])
    print(found.accuracy().low, found.accuracy(task.metric).high, found.questions, found.least, found.most)
    promised = rtk.answers.prospect(rtk.answers.vote(["a"]), 4)
    assert_type(promised, rtk.answers.Prospect)
    print(promised.gain, promised.ahead, promised.change)


def estimates(vote: rtk.SelfConsistency, task: rtk.tasks.Task) -> None:
    """What a call would cost, before it is made."""
    said = vote.estimate(question="…", budget=rtk.Budget(calls=7))
    assert_type(said, Forecast)
    assert_type(said.samples, Span)
    assert_type(said.dollars, Span | None)
    assert_type((said.stored, said.exact, said.bounded, said.stopped), tuple[int, bool, bool, str | None])
    assert_type(said.to_draw.least + said.calls.most, float)
    print(said.prompt_tokens, said.completion_tokens, said.tokens, said.seconds, said.questions, said.notes)
    vote.estimate(task)
    vote.estimate([{"question": "…"}, dspy.Example(question="…").with_inputs("question")])


def verifiers(endpoint: rtk.Endpoint) -> None:
    """Reward models, and what a verifier is shown."""
    assert_type(endpoint(question="2 + 2?", answer="4"), dspy.Prediction)
    rtk.BestOfN("question -> answer", 8, endpoint, threshold=0.9)
    rtk.BestOfN("question -> answer", 8, "logprob")
    rtk.Endpoint("http://box:8000", answer=lambda fields: fields["answer"], label=1, template="{question} {answer}")
    shown = rtk.Inputs.of(endpoint, {"question": "2 + 2?", "answer": "4"}, ["answer"])
    assert_type(shown.withheld, frozenset[str])
    assert_type(rtk.Inputs({"question": "2 + 2?"}, withheld={"answer"})["question"], Any)


class Mine(rtk.Strategy):
    """A strategy of a user's own, with a setting."""

    drafts = rtk.Setting(2)

    def __init__(self, signature: str, drafts: int = 2) -> None:
        super().__init__()
        self.drafts = drafts
        self.draft = dspy.ChainOfThought(signature)

    def flow(self, **inputs: Any) -> Any:
        """Asks, children side by side, the best so far, an outcome."""
        first = yield rtk.ask(self.draft, inputs)
        yield first[0]
        several = yield rtk.ask(self.draft, inputs, samples=self.drafts, rollout=1, config={"temperature": 1.0})
        yield [rtk.ask(self.draft, inputs), self._branch(inputs)]
        return rtk.Outcome(several[0].prediction, used=[several[0]], completions=[], confidence=None)

    def _branch(self, inputs: Mapping[str, Any]) -> Any:
        return (yield rtk.ask(self.draft, inputs))[0]


def predictions(pred: rtk.Prediction) -> None:
    """What is on a strategy's prediction besides its fields."""
    assert_type(pred.deliberation, rtk.Deliberation | None)
    assert_type(pred.spent, rtk.Spent | None)
    assert_type(pred.stopped, str | None)
    assert_type(pred.seconds, float | None)
    assert_type(pred.abstentions, dict[str, int] | None)
    print(pred.vote, pred.confidence)
    if pred.deliberation is not None:
        assert_type(pred.deliberation.text(width=80, lines=40), str)
        for depth, step in pred.deliberation.walk():
            print(depth, step.kind, step.text, step.score, step.state, step.label, step.tokens, step.address)
        assert_type(pred.deliberation.html(steps=50, characters=None), str)
        assert_type(rtk.Deliberation.from_dict(pred.deliberation.to_dict()), rtk.Deliberation)


# --- answers and statistics ---


def answers(text: str) -> None:
    """Text to answer to vote."""
    assert_type(rtk.answers.text_of(7), str)
    assert_type(rtk.answers.extract(text), str | None)
    assert_type(rtk.answers.equal("1/2", 0.5, "numeric"), bool)
    rtk.answers.canonical("2,4,6", comparer="sequence")
    assert_type(rtk.answers.answer_fields(["reasoning", "answer"]), list[str])
    comparer: rtk.answers.Comparer = "auto"
    found = rtk.answers.vote(["4", 4, rtk.answers.Abstention("malformed")], rule="majority", comparer=comparer)
    assert_type(found, rtk.answers.Vote)
    assert_type(found.clusters, tuple[rtk.answers.Cluster, ...])
    assert_type(found.logprobs, tuple[float | None, ...])
    assert_type((found.logprob, found.rows()), tuple[float | None, list[dict[str, Any]]])
    fields = rtk.answers.vote_fields([{"a": 1}], comparer={"a": "numeric"}, rules={"a": "median"}, exclude=["seed"])
    assert_type((fields, fields.fields), tuple[rtk.answers.FieldsVote, dict[str, rtk.answers.Vote]])
    rtk.answers.vote(["1", "2"], rule="trimmed_mean", trim=0.1, exclude=("seed",))
    assert_type((rtk.answers.similarity("a", "b"), rtk.answers.medoid(["a", "b"])), tuple[float, int])
    rtk.answers.read_number("1/2")
    assert_type(rtk.answers.calculate("What is 15% of 80?"), str | None)
    rule: rtk.answers.StoppingRule = rtk.answers.stopping("horizon", level=0.9)
    assert_type(rule(found, 8), int)
    print(found.winner, found.winner_index, found.share, found.margin, found.distribution, found.abstentions)
    assert_type(rtk.answers.steps("1. Add.\n2. Divide."), list[str])
    assert_type(rtk.answers.thinking("<think>2 + 2</think>4"), tuple[str, str])
    for claim in rtk.answers.check_arithmetic("2 + 2 = 5"):
        assert_type(claim, rtk.answers.Claim)


def checked(inputs: Mapping[str, Any], candidate: Any) -> rtk.answers.Check:
    """A checker of a user's own."""
    checker: rtk.answers.Checker = checked
    return checker(inputs, candidate) and rtk.answers.Check(False, reason="too long", score=0.1)


# --- controls ---


def controls(task: rtk.tasks.Task, vote: rtk.SelfConsistency, lm: rtk.LM) -> None:
    """The playground, turned from a cell."""
    rtk.Playground()
    rtk.Playground("question -> answer", model=["embedded", lm])
    playground = rtk.Playground(vote, task, model=lm)
    playground.controls.numbers["samples"].value = 4
    playground.run()
    playground.stop()
    assert_type(playground.wait(60), bool)
    assert_type(playground.program, dspy.Module)
    print(playground.prediction, playground.widget)


# --- testing ---


def testing(vote: rtk.SelfConsistency, plain: dspy.Module) -> None:
    """Programs played, and a server scripted."""
    script = rtk.testing.faults(["4", rtk.testing.Reply("5", failure="none left")], 0.1, kinds=("500",), seed=1)
    assert_type(script, rtk.testing.Faults)
    kind: rtk.testing.Kind = "429"
    asked: rtk.testing.Script = {"2+2": "4", "": [kind]}
    with rtk.testing.ScriptedServer(asked, wire="vllm", latency=(0, 0.1), honours_n=3) as server, server.hold(after=2):
        server.wait_for(lambda s: s.in_flight == 8)
        assert_type(server.release(3), list[rtk.testing.Received])
    fields = {"reasoning": "…", "answer": 4}
    assert_type(rtk.testing.play(vote, [fields, "no idea", TimeoutError()], question="…"), rtk.Prediction)
    rtk.testing.play(vote, lambda received: received.last, budget=rtk.Budget(calls=1), adapter=dspy.JSONAdapter())
    rtk.testing.play(plain, {"2+2": fields, "3+3": [fields, "?"]}, question="…")


# --- retrieval ---


def retrieval(folder: Path, embed: dspy.Embedder) -> None:
    """Passages from all kinds of sources."""
    retriever = rtk.Retriever([("Where is it?", "Here.")], k=5, language=None)
    rtk.Retriever("faq.csv", question="asked", answer="said", search="hybrid", embed=embed)
    rtk.Retriever(folder, words=80, search="embeddings", embed=lambda texts: [[1.0] for _ in texts])
    rtk.Retriever(["a text"], text=None, embed="path/of/a/model")
    rtk.Retriever(rtk.tasks.load("support").passages)
    for found in retriever.search("Where?", 2, history=dspy.History(messages=[{"question": "What?"}])):
        assert_type((found.id, found.text, found.source), tuple[str, str, str])
        assert_type((found.question, found.answer), tuple[str | None, str | None])
        assert_type((found.score, found.confidence), tuple[float, float])
    for left in retriever.dropped:
        assert_type((left.source, left.reason), tuple[str, str])
    print(retriever(question="Where?", history=["What?"], k=1), len(retriever))


# --- errors ---


def errors() -> str | None:
    """The tree of errors; each carries its mend."""
    try:
        rtk.tasks.load("arithmetic")
    except rtk.errors.RecordingError as error:
        return error.mend
    except (rtk.NotRecorded, rtk.errors.NotRecorded) as lacking:
        return lacking.mend
    except (rtk.errors.NewerStore, rtk.errors.UnsafeStore) as error:
        assert_type(error.mend, str | None)
    except (rtk.errors.ServedModelChanged, rtk.errors.StoreError) as error:
        return error.mend
    except (rtk.SampleError, rtk.errors.SampleError) as error:
        return f"{error.kind}, {len(error.arrived)} arrived"
    except (rtk.errors.MissingExtra, rtk.errors.WeightsError, rtk.errors.EngineError) as error:
        return error.mend
    except (rtk.errors.EndpointError, rtk.errors.UnsupportedParameter, rtk.errors.ModelError) as error:
        return error.mend
    except (rtk.errors.BudgetError, rtk.errors.AnswerError, rtk.errors.TaskError, rtk.errors.RetrievalError) as error:
        return error.mend
    except (rtk.errors.LoopError, rtk.errors.StrategyError) as error:
        return error.mend
    except (rtk.RTKError, rtk.errors.RTKError) as error:
        return error.mend
    except rtk.errors.BudgetSpent as over:
        return over.limit
    return None
