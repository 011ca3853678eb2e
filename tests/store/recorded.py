"""Samples of one request, and recordings of them: what the tests of a recording's file and of its reach share."""

import multiprocessing
import os
import signal

import pytest

import rtk
from rtk.samples import Request, Sample, Stream, addresses

FORK = multiprocessing.get_context("fork") if hasattr(os, "fork") else None
POSIX = pytest.mark.skipif(FORK is None, reason="no fork")
REQUEST = Request.of("openai/small", [{"role": "user", "content": "2+2?"}], {"temperature": 0.7})


def drawn(count, start=0, stream=None, text="text", **more):
    where = addresses(REQUEST, stream or Stream(), start, count)
    return [Sample(address, f"{text} {address.index}", **more) for address in where]


def note(recording, samples):
    for sample in samples:
        recording.note(REQUEST, sample, "ChatAdapter")


def record(path, samples, mode="auto"):
    with rtk.recording(path, mode) as recording:
        note(recording, samples)
    return recording.path


def held(path, samples):
    """Which of some samples a file holds."""
    with rtk.recording(path, mode="replay") as recording:
        found = recording.find([sample.address for sample in samples])
    return [found.get(sample.address) for sample in samples]


def forked(work):
    """What `work()` gives, run in a forked child; None where the child ended without a word."""
    reader, writer = FORK.Pipe(duplex=False)

    def run():
        try:
            signal.alarm(60)
            writer.send(work())
        finally:
            os._exit(0)

    child = FORK.Process(target=run)
    child.start()
    writer.close()
    try:
        return reader.recv()
    except EOFError:
        return None
    finally:
        child.join(90)
