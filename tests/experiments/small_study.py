"""Results of a sweep that never ran: some questions, some settings, every way an answer can end."""

import json

from rtk.deliberation import Deliberation, Step
from rtk.experiments.records.records import Arm, Card, Records

HOSTILE = (
    "<script>document.title='pwned'</script></style></script><!--<img src=x onerror=alert(1)> \u202eevil\u202c \x1b[31m"
)
RIGHT, WRONG, ABSTAINED, FAILED = "right", "wrong", "abstained", "failed"


def story(question, answer, samples, right=True):
    """A vote of some chains; the first of them says why."""
    chains = [
        Step("chain", f"{question} Thinking {n}: so it is {answer}.", state="chosen" if right else "kept",
             label=str(answer), tokens=12 + n)
        for n in range(samples)
    ]  # fmt: skip
    return Deliberation(
        Step("vote", f"{samples} of {samples} for {answer}", score=1.0, state="chosen", children=chains)
    )


def row(arm, at, ended, samples=1, answer="42", replicate=0, **more):
    """A row that ended in one of the four ways."""
    said = {RIGHT: answer, WRONG: "41", ABSTAINED: None, FAILED: None}[ended]
    return {
        "arm": arm, "replicate": replicate, "at": at, "answer": said, "correct": ended == RIGHT,
        "score": float(ended == RIGHT), "abstained": ended == ABSTAINED,
        "error": "SampleError: status 500" if ended == FAILED else None, "stopped": None,
        "confidence": 0.9 if said else None, "calls": 1, "consulted": samples, "drawn": samples, "reused": 0,
        "failed": int(ended == FAILED), "tokens_in": 40, "tokens_out": 12 * samples, "dollars": 0.001 * samples,
        "seconds": 0.5, "work": 0.5 * samples, "wall": 0.4, "flops": 1e9 * samples, "pool": at, "attempts": samples,
        "addresses": [f"{'ab' * 32}:0:{n}" for n in range(samples)], **more,
    }  # fmt: skip


def study(ends=None, cls=Records, question="What is {at} + 1?", replicates=1, **about):
    """Records of `len(ends)` questions: `ends[at][arm]` is how each setting ended."""
    ends = ends or [
        [RIGHT, RIGHT],
        [WRONG, RIGHT],
        [ABSTAINED, WRONG],
        [FAILED, WRONG],
        [RIGHT, FAILED],
        [WRONG, WRONG],
    ]
    samples = [2**arm for arm in range(len(ends[0]))]
    arms = [Arm(f"samples={many}", "SelfConsistency", "openai/small", {"samples": many}) for many in samples]
    examples = [{"example": f"q{at}", "question": question.format(at=at), "gold": "42"} for at in range(len(ends))]
    rows, stories, attempts = [], [], []
    for replicate in range(replicates):
        for arm, many in enumerate(samples):
            for at, ended in enumerate(one[arm] for one in ends):
                rows.append(row(arm, at, ended, many, replicate=replicate, pool=replicate * len(ends) + at))
                if ended != FAILED:
                    told = story(examples[at]["question"], rows[-1]["answer"], many, ended == RIGHT).to_dict()
                    stories.append({"arm": arm, "replicate": replicate, "at": at, "story": json.dumps(told)})
        for at in range(len(ends)):
            attempts += [attempt(at, index, replicate, len(ends), arm=len(samples) - 1) for index in range(samples[-1])]
    card = Card("arithmetic", "test", len(ends), "f" * 64, level=2, seed=0)
    return cls.of(card, arms, rows, examples, attempts, stories, replicates=replicates, **about)


def attempt(at, index, replicate=0, size=6, arm=0, correct=True):
    """One of the attempts that a row chose from."""
    return {
        "arm": arm, "replicate": replicate, "at": at, "pool": replicate * size + at, "index": index,
        "tokens_in": 40, "tokens_out": 12, "answer": "42" if correct else "41", "abstention": None,
        "address": f"{'ab' * 32}:0:{index}", "text": "answer: 42", "finish": "stop", "correct": correct,
        "score": float(correct), "logprob": -0.1, "reward": None, "dollars": 0.001, "seconds": 0.5, "flops": 1e9,
    }  # fmt: skip
