"""What the tests of the models share: endless numbered replies, and an LM over a scripted server."""

import itertools
import time

import dspy

import rtk

QUESTION = "What is 2 + 2?"
MESSAGES = [{"role": "user", "content": QUESTION}]


def numbered():
    """Replies that no two requests share, so that a lost or doubled one is seen."""
    return (f"reply {number}" for number in itertools.count())


def over(server, **settings):
    """An `rtk.LM` whose model is the server's."""
    prefix = "openai" if server.url.endswith("/v1") else "ollama_chat"
    return rtk.LM(f"{prefix}/scripted", **{"api_base": server.url, "api_key": "any", **settings})


def stored(lm, count, prompt=QUESTION, start=0, **options):
    """Samples `start` … of a request, as they lie in the store, by index."""
    ask = lm.ask([{"role": "user", "content": prompt}], options, start=start, count=count)
    return lm.store.read(ask.request.key, ask.addresses[0].stream, [one.index for one in ask.addresses])


def key(lm, prompt=QUESTION, **options):
    """The key of a request."""
    return lm.ask([{"role": "user", "content": prompt}], options).request.key


class Anything(dspy.ChatAdapter):
    """An adapter for which every text is an answer."""

    def parse(self, signature, completion):
        return dict.fromkeys(signature.output_fields, completion)


def until(state, seconds=10.0):
    """Wait until `state()` holds; for what no server tells."""
    deadline = time.monotonic() + seconds
    while not state():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s for a state that did not come")
        time.sleep(0.005)
