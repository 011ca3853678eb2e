"""What the tests of `rtk.allocate` share: a world of questions whose i-th answers are fixed, and a server of it."""

import random
from collections import Counter
from contextlib import contextmanager

import dspy
from scripted import chain, field_of, serving

from rtk.samples import Address, Stream
from rtk.testing import Reply

SEED = 7


class World:
    """Questions `q0` … each with a list of answers; the server knows which one is wanted by the seed it is sent.

    Args:
        kinds: of the questions in turn: `"clear"`, `"close"`, `"hopeless"`, or a list of answers.
        size: questions.
        most: answers of each.
        seed: of those made up.
        name: what the questions end in, so that those of two worlds differ.
    """

    def __init__(self, kinds=("clear", "close", "hopeless"), size=12, most=16, seed=0, name=""):
        chance = random.Random(seed)
        self.answers = [_made(kinds[number % len(kinds)], most, chance) for number in range(size)]
        self.questions = [{"question": f"q{number} {name}".strip()} for number in range(size)]
        self.index = {Address("any", Stream(0), index).seed(SEED): index for index in range(most)}
        self.index |= {Address("any", Stream(0).enter(index), 0).seed(SEED): index for index in range(most)}

    @property
    def examples(self):
        """The questions with their gold answers."""
        return [dspy.Example(**one, answer="right").with_inputs("question") for one in self.questions]

    def reply(self, received):
        """The answer to what was asked."""
        number = number_of(received)
        return chain(self.answers[number][self.index[received.body["seed"]]])

    @contextmanager
    def served(self, script=None, **kwargs):
        """A server of this world, or of a script in its place, with an LM over it."""
        with serving(script or self.reply, server_n=False, seed=SEED, **kwargs) as server:
            yield server

    def leader(self, number, count):
        """Who leads among the first answers to a question."""
        counted = Counter(self.answers[number][:count])
        return max(counted, key=counted.get) if counted else None

    def right(self, counts):
        """How many questions a vote on the first answers gets right."""
        return sum(self.leader(number, count) == "right" for number, count in enumerate(counts))


def number_of(received):
    """Which question is asked."""
    return int(field_of(received, "question").split()[0][1:])


def _made(kind, most, chance):
    if isinstance(kind, list):
        return kind
    if kind == "hopeless":
        return [f"h{chance.randrange(10**6)}" for _ in range(most)]
    share = 0.95 if kind == "clear" else 0.5
    return ["right" if chance.random() < share else chance.choice(["wrong", "other"]) for _ in range(most)]


def delayed(world, seconds):
    """The same world, whose replies take as long as a function of the question and the index says."""

    def reply(received):
        number, index = number_of(received), world.index[received.body["seed"]]
        return Reply(world.reply(received), delay=seconds(number, index))

    return reply
