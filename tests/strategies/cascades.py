"""What the tests of cascades share: a small support desk, and a model whose reply depends on the question."""

import dspy
from scripted import chain, chat, field_of

import rtk

FAQ = [
    ("How do I reset my password?", "Use the link on the sign-in page."),
    ("What does the pro plan cost?", "Nine euros a month."),
    ("How can I export my notes?", "Open Settings, then Export."),
]
EXACT, NEAR, FAR = "How do I reset my password?", "Where do exported notes go on a phone?", "Zymurgy?"


def retriever(pairs=FAQ, **settings):
    return rtk.Retriever(pairs, **settings)


def replies(direct="guess", deep=("deep",)):
    """A script for the desk: what the direct level says, and what the votes of the deep one say, over and over."""

    def reply(received):
        if "[[ ## reasoning ## ]]" in received.prompt:
            return chain(deep[received.choice % len(deep)], "as [1] says")
        return chat(answer=direct)

    return reply


def desk(votes=4, **settings):
    """Three levels: look it up, ask, and vote over chains that see what was looked up."""
    levels = {
        "faq": retriever(),
        "direct": "question -> answer",
        "deep": rtk.SelfConsistency("context, question -> answer", votes),
    }
    return rtk.Cascade(levels, **settings)


def question_of(received):
    return field_of(received, "question")


def examples(pairs):
    return [dspy.Example(question=asked, answer=answer).with_inputs("question") for asked, answer in pairs]
