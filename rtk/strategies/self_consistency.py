"""Self-consistency: many chains, one vote (Wang et al., 2022, arXiv:2203.11171)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import dspy

from rtk.answers import Vote, equal, stopping, vote
from rtk.errors import StrategyError
from rtk.events import VoteMoved, tell, watchers
from rtk.statistics import proportion
from rtk.strategies.ballots import FREE_TEXT, QUANTITIES, Ballot
from rtk.strategies.consensus import Sorting, most_consistent, number_named, question_of, responses_of, same_meaning
from rtk.strategies.finishing import finish, finisher, is_cut
from rtk.strategies.flow import Candidate, Candidates, Flow, Outcome, ask
from rtk.strategies.inputs import Inputs, refuse_metric
from rtk.strategies.questions import chain_of
from rtk.strategies.rewards import TAKES, Verifier, rewarded, uncopied
from rtk.strategies.sampling import predictor_of
from rtk.strategies.settings import Setting, check_temperature, check_whole
from rtk.strategies.strategy import Strategy, no_answer, submodule

RULES = ("majority", "confidence", "weighted", *QUANTITIES, "fields", *FREE_TEXT)
STOPPED = ("majority", *FREE_TEXT)  # rules that count heads, so that they may be settled early
SHOWN = 24_000  # characters of all responses together that "universal" shows; the least of one is 400


class SelfConsistency(Strategy):
    """Sample many chains and vote on their answers.

    Given a signature, the chains are a `dspy.ChainOfThought` and share their samples with any other program that
    asks the same. Given a module, it is run `samples` times, each in a stream of its own.

    The winner's fields are the prediction's; `pred.completions` holds all candidates, the winner first;
    `pred.confidence` is the winner's share of the votes with its Wilson interval. Where the model gave
    log-probabilities, `pred.vote.logprobs` has each chain's mean beside it. Malformed, empty, refused and cut-off
    completions abstain. At temperature 0 all samples are one; it counts once, and the deliberation says so.

    With `stop=` the chains are asked for in waves, and no more of them once the vote is settled. Waves are as long as
    a rule needs at least before it can stop, so nothing is drawn that it would not have wanted when asked after every
    chain, and what it says follows from the chains in index order, whichever came first.

    What a vote asks of a model besides (`"judge"`, `"universal"`, a judge as `weight=`, `finish_cut=`) it asks through
    predictors of its own: `same`, `select`, `verifier`, `finish`, stored, budgeted, told and optimized like any. A
    budget that ends there leaves the vote on what is known.

    Args:
        signature: a DSPy signature, its text, or any `dspy.Module`.
        samples: how many chains; the most of them, with `stop=`.
        vote: how they elect.
            `"majority"`. `"confidence"`: each chain weighs as much as its tokens were probable (their geometric mean;
            it asks for log-probabilities, so these are other requests). `"weighted"`: as much as a verifier says; see
            `weight`. `"mean"`, `"median"`, `"trimmed_mean"`: of numbers.
            `"fields"`: each field by itself, and the winner put together: the outputs, where there are several, else
            the fields of the one output (or of `field`), a pydantic object or a mapping; see `rtk.answers.vote_fields`.
            For free text: `"medoid"`: answers that are written alike are the same (see `"similar"` in
            `rtk.answers.equal`), and the winner is that of the largest cluster which is most like its others.
            `"judge"`: likewise, where a model says which answers mean the same, asked of each answer and cluster.
            `"universal"`: a model sees all responses and names the most consistent one (universal self-consistency,
            arXiv:2311.17311); where it names none the medoid stands, and where all are written alike it is not asked.
            Or a function from the answers (an `rtk.answers.Abstention` where there is none) to an `rtk.answers.Vote`.
        field: the output to vote on; by default the last one that is not reasoning.
        comparer: which answers are the same; see `rtk.answers.equal`. For `"fields"` perhaps a mapping of names to
            comparers; for free text `"auto"` is `"similar"`, and a judge is not asked about what it finds equal.
        temperature: of the chains; the model's own by default.
        stop: None for all chains; `"beta"` (Adaptive-Consistency, arXiv:2305.11860), where the first of two answers is
            the more frequent one; `"window"` (ESC, arXiv:2401.10480), where a window of answers agrees; `"horizon"`,
            where the leader will still lead when all chains are there; or a function of the `rtk.answers.Vote` so far.
        certainty: of `"beta"` (0.95 by default) and `"horizon"` (0.935).
        window: of `"window"`, in chains; 5 by default.
        wave: chains that go out together at least; more than a rule needs take fewer rounds; what is drawn beyond its
            stop is kept, not consulted, and counted in `spent.overdrawn`.
        exclude: names of fields whose values do not count in comparing, such as arguments of tool calls; see
            `rtk.answers.equal`.
        trim: of `"trimmed_mean"`: the share left out at each end; 0.2 by default.
        weight: of `"weighted"`: `(inputs, prediction) -> float`, or an `rtk.answers.Check` such as `task.check` gives;
            one whose second parameter is called `candidate` or `answer`, as that of `task.check` is, is given the
            answer alone. Or a `dspy.Module`, a judge, whose last output is the weight; or an `rtk.Endpoint`. It sees
            the program's inputs and outputs, and no gold answer. None and what is below 0 weigh nothing; where nothing
            weighs anything, all weigh the same.
        judge: of `"judge"`: a module in place of the predictor `same`, with input fields `question`, `one` and `other`
            (it may take others of the program's inputs) and a verdict as its last output.
        finish_cut: whether a chain that was cut off by its length is asked once more, for its answer alone; if that
            comes, the chain votes.

    Raises:
        StrategyError: for a setting that cannot be; when called, for a `field` that no chain has, or where every weight
            failed.
    """

    samples = Setting(8)
    vote: Any = Setting("majority")
    field = Setting()
    comparer = Setting("auto")
    temperature = Setting()
    stop: Any = Setting()
    certainty = Setting()
    window = Setting()
    wave = Setting()
    exclude = Setting()
    trim = Setting()
    finish_cut = Setting()

    def __init__(
        self,
        signature: Any,
        samples: int = 8,
        vote: str | Callable[[list[Any]], Vote] = "majority",
        *,
        field: str | None = None,
        comparer: Any = "auto",
        temperature: float | None = None,
        stop: str | Callable[[Vote], bool] | None = None,
        certainty: float | None = None,
        window: int | None = None,
        wave: int | None = None,
        exclude: Sequence[str] = (),
        trim: float | None = None,
        weight: Verifier | dspy.Module | None = None,
        judge: dspy.Module | None = None,
        finish_cut: bool = False,
    ) -> None:
        super().__init__()
        check_whole("samples", samples)
        check_whole("wave", 1 if wave is None else wave)
        self.stop, self.certainty, self.window, self.wave = stop, certainty, window, wave
        if isinstance(stop, str):
            stopping(stop, certainty, window)  # which refuses what cannot be
        self.samples, self.vote, self.field = samples, vote, field
        self.comparer, self.temperature = comparer, temperature
        # None where it is left out: that is what a program prints of its settings
        self.exclude: Any = (exclude if isinstance(exclude, str) else list(exclude)) or None
        self.trim, self.finish_cut = trim, finish_cut or None
        self.chain: Any = submodule(chain_of(signature))
        self._check(weight, judge)
        self._equip(weight, judge)

    def _check(self, weight: Any, judge: Any) -> None:
        """Refuse settings that do not go together."""
        rule, flat = self.vote, predictor_of(self.chain) is not None
        if not callable(rule) and rule not in RULES:
            raise StrategyError(f"vote={rule!r} is no rule", mend=f"one of {', '.join(RULES)}, or a function")
        if self.stop is not None and not callable(rule) and rule not in STOPPED:
            raise StrategyError(f"stop= counts votes; vote={rule!r} does not", mend='vote="majority", or no stop=')
        for name, given, wanted in (("weight", weight, "weighted"), ("judge", judge, "judge"), ("trim", self.trim,
                                    "trimmed_mean")):  # fmt: skip
            if given is not None and rule != wanted:
                raise StrategyError(f"{name}= with vote={rule!r}", mend=f'{name}= goes with vote="{wanted}"')
        check_temperature(self.temperature, self.chain)
        if rule == "confidence" and not flat:
            raise StrategyError(
                'vote="confidence" weighs a predictor\'s chains, not the runs of a module', mend="leave out vote="
            )
        if self.finish_cut and not flat:
            raise StrategyError(
                "finish_cut= goes on with a predictor's chains, not the runs of a module", mend="leave it out"
            )
        if rule == "weighted" and not callable(weight):
            raise StrategyError(f"weight={weight!r}", mend="a function (inputs, prediction) -> float, or a judge")
        self._check_comparing()
        if self.trim is not None:
            vote([], rule="trimmed_mean", trim=self.trim)  # which refuses what cannot be

    def check_settings(self) -> None:
        """Refuse settings that cannot be, or that ask for what the program was built without."""
        check_whole("samples", self.samples)
        if isinstance(self.stop, str):
            stopping(self.stop, self.certainty, self.window)
        self._check(getattr(self, "verifier", None) if self.vote == "weighted" else None, None)
        for rule, name in (("judge", "same"), ("universal", "select")):
            if self.vote == rule:
                self._own(name)
        if self.finish_cut:
            self._own("finish")

    def _check_comparing(self) -> None:
        if isinstance(self.comparer, Mapping) and self.vote != "fields":
            raise StrategyError("comparer= by name", mend='it goes with vote="fields"; else one comparer')
        if self.exclude and callable(self.comparer):
            raise StrategyError("exclude= with a function as comparer=", mend="let the function leave them out")
        for comparer in self.comparer.values() if isinstance(self.comparer, Mapping) else [self.comparer]:
            if not callable(comparer):
                equal("", "", comparer, self.exclude or ())  # which refuses what cannot be

    def _equip(self, weight: Any, judge: Any) -> None:
        """What the settings need besides the chain, and nothing else: a program's predictors are what it asks."""
        if self.vote == "judge":
            self.same: Any = same_meaning() if judge is None else submodule(judge)
        if self.vote == "universal":
            self.select = most_consistent()
        chain = predictor_of(self.chain)
        if self.finish_cut and chain is not None:
            self.finish = finisher(chain)
        if isinstance(weight, dspy.Module):
            self.verifier: Any = submodule(weight)
        elif weight is not None:
            refuse_metric("weight", weight)
            self.verifier = uncopied(weight)

    def asks_once(self) -> bool:
        """Whether all chains are asked for before anything comes, and nothing else is."""
        asks = self.vote in ("judge", "universal") or isinstance(getattr(self, "verifier", None), dspy.Module)
        return self.stop is None and not asks and not self.finish_cut

    def flow(self, **inputs: Any) -> Flow:
        """Waves of chains until the vote is settled; one wave where nothing stops it."""
        ballot = self._ballot()
        config: dict[str, Any] = {} if self.temperature is None else {"temperature": self.temperature}
        config |= {"logprobs": True} if self.vote == "confidence" else {}
        flat, chains, seen, whole = predictor_of(self.chain) is not None, Candidates(), 0, True
        needed = self._needed(ballot, chains)
        while needed and whole and len(chains.distinct()) == len(chains):
            if chains:
                yield partial(self._outcome_of, ballot, chains, seen)  # the best so far
            size, first = min(self.samples - len(chains), max(needed, self.wave or 1)), 0 if flat else len(chains)
            heard = self._heard(ballot, chains) if watchers() else None
            chains.go_on((yield ask(self.chain, inputs, samples=size, rollout=first, config=config, heard=heard)))
            whole = chains.cut is None
            while needed and seen < len(chains):
                seen = min(seen + needed, len(chains))
                whole = whole and (yield from self._looked_at(ballot, chains, seen, inputs, config))
                needed = self._needed(ballot, chains[:seen])
        return (yield from self._concluded(ballot, chains, seen, whole, inputs))

    def _ballot(self) -> Ballot:
        exclude = self.exclude or ()
        sorting = Sorting(self.comparer, exclude) if self.vote == "judge" else None
        return Ballot(self.vote, self.field, self.comparer, exclude, self.trim, sorting)

    def _needed(self, ballot: Ballot, chains: list[Candidate]) -> int:
        """How many further chains there must be before the vote can be settled."""
        left = self.samples - len(chains)
        if not left or self.stop is None:
            return left
        found = ballot.count(chains)
        if callable(self.stop):
            return 0 if chains and self.stop(found) else 1
        return stopping(self.stop, self.certainty, self.window)(found, left)

    # --- what is asked besides ---

    def _looked_at(
        self, ballot: Ballot, chains: Candidates, seen: int, inputs: dict[str, Any], config: dict[str, Any]
    ) -> Flow:
        """What the first chains need before they are counted; whether a budget let all of it be asked."""
        cut = [one for one in chains[:seen] if self.finish_cut and is_cut(one) and id(one) not in ballot.finished]
        if cut:
            yield partial(self._outcome_of, ballot, chains, seen)
            signature: Any = getattr(predictor_of(self.chain), "signature", None)
            came, whole = yield from finish(self._own("finish"), inputs, config, cut, list(signature.output_fields))
            ballot.finished |= came
            ballot.forget()
            if not whole:
                return False
        if ballot.sorting is None:
            return True

        def best() -> Outcome:
            ballot.forget()
            return self._outcome_of(ballot, chains, seen)

        shown, answers = Inputs.of(self.chain, inputs), ballot.counted(chains[:seen])
        whole = yield from ballot.sorting.sort(self._own("same"), shown, answers, best)
        ballot.forget()
        return whole

    def _concluded(self, ballot: Ballot, chains: Candidates, seen: int, whole: bool, inputs: dict[str, Any]) -> Flow:
        """Weigh the votes, or have one chosen, where that is asked for; what they come to."""
        if self.vote not in ("weighted", "universal"):
            return self._outcome_of(ballot, chains, seen)
        votes = Candidates(chains[:seen]).distinct()
        if self.vote == "weighted":
            verifier = self._own("verifier")
            asked = isinstance(verifier, dspy.Module)
            if asked:
                yield partial(self._outcome_of, ballot, chains, seen)
            if whole or not asked:
                yield from self._weigh(ballot, verifier, votes, inputs)
        if self.vote == "universal" and whole and len(ballot.count(votes).clusters) > 1:
            yield partial(self._outcome_of, ballot, chains, seen)
            yield from self._select(ballot, votes, inputs)
        return self._outcome_of(ballot, chains, seen)

    def _weigh(self, ballot: Ballot, verifier: Any, votes: Candidates, inputs: dict[str, Any]) -> Flow:
        found, _ = yield from rewarded(verifier, self.chain, inputs, votes)
        if found and all(one.failed for one in found):
            raise StrategyError(
                f"no chain has a weight; of the last, {found[-1].reason}",
                mend=f"weight {TAKES}, and returns a number",
            )
        ballot.rewards = {id(one.candidate): one for one in found}
        ballot.forget()

    def _select(self, ballot: Ballot, votes: Candidates, inputs: dict[str, Any]) -> Flow:
        found = ballot.count(votes)
        chains = [votes[index] for index in sorted(index for one in found.clusters for index in one.members)]
        texts = ["\n".join(f"{name}: {value}" for name, value in one.prediction.items()) for one in chains]
        shown = {
            "question": question_of(Inputs.of(self.chain, inputs)),
            "responses": responses_of(texts, max(400, SHOWN // len(texts))),
        }
        reply = (yield ask(self._own("select"), shown))[0]
        said = list(reply.prediction.values())[-1] if reply.prediction is not None else None
        number = number_named(said, len(chains))
        ballot.pick = (chains[number - 1] if number is not None else None, reply)
        ballot.forget()

    def _own(self, name: str) -> Any:
        """A predictor that a setting needs: settings may be loaded into a program that was built without it."""
        found = getattr(self, name, None)
        if found is None:
            raise StrategyError(
                f"vote={self.vote!r} with finish_cut={self.finish_cut!r} needs {name}, which this program was built "
                "without",
                mend="build the program with these settings, then load",
            )
        return found

    # --- what it comes to ---

    def _outcome_of(self, ballot: Ballot, chains: Candidates, seen: int) -> Outcome:
        """What the first chains come to; the others are not looked at."""
        votes = Candidates(chains[:seen]).distinct()
        result, told, unused = ballot.count(votes), ballot.told(votes), chains[seen:]
        told.reason = self._why(seen, len(votes), chains.cut is None) or ballot.why()
        if result.winner_index is None or not ballot.names(votes):
            return Outcome(self._nothing(), deliberation=told, unused=unused, attempts=chains)
        winner = votes[result.winner_index]
        prediction = ballot.prediction(winner, votes)
        return Outcome(
            prediction,
            used=[winner, *ballot.used(votes)],
            completions=[prediction, *_others(votes, winner)],
            deliberation=told,
            confidence=proportion(len(result.voters), result.votes),
            unused=unused,
            vote=result,
            attempts=chains,
            rewards=ballot.rewards_of(chains),
        )

    def _why(self, seen: int, votes: int, whole: bool) -> str:
        """Why there are fewer votes than samples asked for."""
        if votes < seen:
            return f"at temperature 0 samples are the same one, which counts once: {seen} asked for, {votes} counted"
        if whole and seen < self.samples:
            return f"settled after {seen} of {self.samples}: {_name(self.stop)}"
        return ""

    def _heard(self, ballot: Ballot, chains: Candidates) -> Callable[[Candidates], None]:
        """Tells those who watch of the leader among the chains so far; it decides nothing."""
        rule = "medoid" if self.vote in FREE_TEXT else self.vote
        rule = "majority" if callable(rule) or rule in ("confidence", "weighted") else rule
        before, so_far = list(chains), replace(ballot, rule=rule, sorting=None, _last=None)

        def heard(came: Candidates) -> None:
            found = so_far.count([*before, *came])
            tell(VoteMoved, answer=found.winner, share=found.share, votes=found.votes, size=found.size, of=self.samples)

        return heard

    def _nothing(self) -> dspy.Prediction:
        """No answer, in the fields of what is voted on."""
        return no_answer(self.chain)


def _name(stop: Any) -> str:
    return f'stop="{stop}"' if isinstance(stop, str) else getattr(stop, "__name__", "stop=")


def _others(chains: Candidates, winner: Candidate) -> list[dspy.Prediction]:
    return [chain.prediction for chain in chains if chain.prediction is not None and chain is not winner]
