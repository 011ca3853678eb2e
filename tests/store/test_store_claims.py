"""Claims: what one process has claimed no other gets, sample by sample, however they were asked for."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtk.samples import Address
from rtk.store import Claims

KEYS = ("ab" * 32, "cd" * 32)
BORDER = 2**24  # where bytes of a stream begin anew

OTHER = """
import json, sys
from pathlib import Path
from rtk.samples import Address
from rtk.store import Claims

claims = Claims(Path(sys.argv[1]))
for line in sys.stdin:
    what, addresses = json.loads(line)
    print(json.dumps(getattr(claims, what)([Address(*one) for one in addresses])), flush=True)
"""

indices = st.integers(0, 6) | st.integers(BORDER - 3, BORDER + 3)
addresses = st.lists(st.builds(Address, st.sampled_from(KEYS), st.sampled_from(["0", "0/1"]), indices), max_size=12)
steps = st.lists(st.tuples(st.sampled_from(["here", "there"]), st.sampled_from(["take", "release"]), addresses))


class Other:
    """The claims of another process on the same store."""

    def __init__(self, folder):
        self.process = subprocess.Popen(
            [sys.executable, "-c", OTHER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __getattr__(self, what):
        def done(addresses):
            self.process.stdin.write(json.dumps([what, addresses]) + "\n")
            self.process.stdin.flush()
            return [Address(*one) for one in json.loads(self.process.stdout.readline()) or ()]

        return done


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """This process's claims and another's."""
    folder = tmp_path_factory.mktemp("claims")
    other = Other(folder)
    yield {"here": Claims(folder), "there": other}
    other.process.communicate(timeout=300)


@given(steps)
def test_a_sample_is_claimed_by_one_process(both, steps):
    """Whatever two processes take and give back, each gets what the other does not hold, and nothing else."""
    held = {"here": set(), "there": set()}
    shared = {address: address.index % BORDER for _, _, group in steps for address in group}
    try:
        for who, what, group in steps:
            got = getattr(both[who], what)(group)
            if what == "release":
                held[who].difference_update(_one_byte(group, held[who], shared))
                continue
            others = held["there" if who == "here" else "here"]
            free = [address for address in group if not _one_byte([address], others, shared)]
            assert got == free
            held[who].update(free)
    finally:
        for who in both:
            both[who].release(sorted(held[who]))


def _one_byte(group, among, place):
    """Those among some addresses that share their byte with one of a group."""
    taken = {(address.key, address.stream, place[address]) for address in group}
    return {address for address in among if (address.key, address.stream, place[address]) in taken}
