"""What the tests of compiled strategies share: sums to learn from, and an optimizer that writes prompts."""

import dspy

TRAINSET = [dspy.Example(question=f"{i} + {i}", answer=str(2 * i)).with_inputs("question") for i in range(1, 5)]


def right(example, pred, trace=None):
    return pred.answer == example.answer


def mipro(program):
    optimizer = dspy.MIPROv2(
        metric=right, auto=None, num_candidates=2, max_bootstrapped_demos=2, max_labeled_demos=0, num_threads=2,
        prompt_model=dspy.settings.lm, seed=2,
    )  # fmt: skip
    return optimizer.compile(program, trainset=TRAINSET, valset=TRAINSET, num_trials=2, minibatch=False)
