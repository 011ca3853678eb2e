"""Questions about numbers, a scripted model that knows most answers, and programs that ask it."""

import random

import dspy

from rtk.testing import Reply

EXAMPLES = [dspy.Example(question=f"number {i}?", answer=i).with_inputs("question") for i in range(12)]
SIGNATURE = "question -> answer: int"


def right(example, pred):
    return pred.answer == example.answer


def replies(received):
    """Each question's own number, two times in three; number 3 never comes, number 4 is malformed."""
    number = int(received.last.partition("number ")[2].partition("?")[0])
    if number == 3:
        return Reply("no", status=400)
    knows = random.Random(f"{number} {received.occurrence} {received.choice}").random() < 0.67
    return "nothing" if number == 4 else f"reasoning: r\nanswer: {number if knows else 100 + number}"


class Knows(dspy.Module):
    """Answers right where `numbers` holds the number, and asks no model."""

    def __init__(self, *numbers):
        super().__init__()
        self._numbers = numbers

    def forward(self, question):
        number = int(question.split()[1].rstrip("?"))
        return dspy.Prediction(answer=number if number in self._numbers else None)
