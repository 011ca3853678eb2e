"""Attempts at hand: a scripted model whose answers the question lists, and records made of a matrix of answers."""

import math
from contextlib import contextmanager

import dspy
import numpy as np

import rtk
from rtk.experiments.records.records import Arm, Card, Records
from rtk.experiments.sweeping import sweep
from rtk.testing import Reply, ScriptedServer

SIGNATURE = "question -> answer"
NOTHING = "~"  # in a question's list: a reply that cannot be read


def asked(*patterns, gold="1"):
    """A question for each list of answers, which the scripted model gives in that order."""
    return [
        dspy.Example(question=f"{at}|{'|'.join(answers)}", answer=gold, id=f"q{at}").with_inputs("question")
        for at, answers in enumerate(patterns)
    ]


def reply(received):
    """The answer that the question lists for this sample, with log-probabilities that depend on it."""
    answers = received.last.partition("[[ ## question ## ]]\n")[2].partition("\n")[0].split("|")[1:]
    answer = answers[received.choice % len(answers)]
    text = "nothing" if answer == NOTHING else f"[[ ## reasoning ## ]]\nr\n\n[[ ## answer ## ]]\n{answer}"
    return Reply(text, logprobs=[{"token": "t", "logprob": -0.25 * (received.choice % 3) - 0.125}])


@contextmanager
def scripted(**options):
    """A scripted model to draw from, in DSPy's settings."""
    with ScriptedServer(reply) as served:
        lm = rtk.LM("openai/scripted", api_base=served.url, api_key="x", num_retries=0, **options)
        with dspy.context(lm=lm):
            yield


def same(example, prediction):
    """Whether the answer is the gold one."""
    return rtk.answers.equal(prediction.answer, example.answer)


def swept(program, examples, **settings):
    """A sweep of one program at one setting, or over some."""
    return sweep(program, examples, metric=same, progress=None, **settings)


def records(answers, gold="1", *, replicates=1, settings=None, seed=0, logprobs=False, rewards=None, score=None):
    """Records of one source whose settings are majority votes of the first k attempts.

    Args:
        answers: of questions × attempts, or replicates × questions × attempts; None abstains.
        gold: the right answer to all.
        settings: numbers of attempts; all of them where left out.
    """
    whole = answers if replicates > 1 else [answers]
    size = len(whole[0][0])
    settings = settings or [size]
    arms = [Arm(f"samples={k}", "vote", "model", {"samples": k}) for k in settings]
    examples = [{"example": f"q{at}", "question": f"question {at}", "gold": gold} for at in range(len(whole[0]))]
    random, rows, attempts = np.random.default_rng(seed), [], []
    for replicate, matrix in enumerate(whole):
        for at, drawn in enumerate(matrix):
            pool = replicate * len(matrix) + at
            for index, answer in enumerate(drawn):
                attempts.append({
                    "pool": pool, "arm": 0, "replicate": replicate, "at": at, "index": index, "answer": answer,
                    "abstention": "malformed" if answer is None else None, "correct": answer == gold,
                    "score": float(answer == gold) if score is None else score(answer),
                    "logprob": -float(random.random()) if logprobs else math.nan,
                    "reward": None if rewards is None else rewards(at, index, answer),
                    "tokens_in": 10, "tokens_out": 5 + index, "dollars": 0.25, "address": f"{pool}/{index}",
                    "text": f"so the answer is {answer}" if answer is not None else "no idea, perhaps 1",
                })  # fmt: skip
            rows += [_row(arm, replicate, at, pool, drawn[:k], gold) for arm, k in enumerate(settings)]
    card = Card("made up", "test", len(examples), "0" * 64)
    return Records.of(card, arms, rows, examples, attempts, replicates=replicates)


def _row(arm, replicate, at, pool, drawn, gold):
    found = rtk.answers.vote(drawn)
    right = found.winner == gold
    return {
        "arm": arm, "replicate": replicate, "at": at, "pool": pool, "attempts": len(drawn), "answer": found.winner,
        "correct": right, "score": float(right), "abstained": found.winner is None, "consulted": len(drawn),
        "confidence": len(found.voters) / found.votes if found.votes else math.nan, "tokens_out": 5 * len(drawn),
        "tokens_in": 10 * len(drawn), "addresses": [f"{pool}/{index}" for index in range(len(drawn))],
    }  # fmt: skip
