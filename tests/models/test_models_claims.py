"""Single flight across processes: what one draws, no other draws or pays; whoever dies keeps nothing claimed."""

import errno
import fcntl
import json
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest
from serving import numbered, over

import rtk
from rtk.errors import StoreError
from rtk.store import SampleStore
from rtk.testing import Reply, ScriptedServer

pytestmark = pytest.mark.slow

ASKING = """
import json, sys, rtk

settings = json.loads(sys.argv[2])
prompts, n, start = settings.pop("prompts"), settings.pop("n"), settings.pop("start", 0)
lm = rtk.LM("openai/scripted", api_base=sys.argv[1], api_key="any", **settings)
print("ready", flush=True)
sys.stdin.readline()
with rtk.Budget() as budget:
    told = {}
    for prompt in prompts:
        try:
            told[prompt] = lm(prompt, n=n)
        except rtk.errors.SampleError as error:
            told[prompt] = error.kind
spent = budget.spent
print(json.dumps([told, spent.drawn, spent.reused]), flush=True)
"""


class Asker:
    """A process that asks when it is told to."""

    def __init__(self, server, prompts=("one question",), n=4, **settings):
        said = json.dumps({"prompts": list(prompts), "n": n, **settings})
        self.process = subprocess.Popen(
            [sys.executable, "-c", ASKING, server.url, said], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def go(self):
        assert self.process.stdout.readline() == "ready\n"
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def told(self):
        """What it was told by prompt, how many samples it drew, and how many it reused."""
        out, _ = self.process.communicate(timeout=300)
        return json.loads(out)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=300)


def go(*askers):
    for asker in askers:
        asker.go()


@pytest.mark.parametrize("server_n", [True, False])
def test_processes_that_ask_at_once_pay_once(own_store, server_n):
    """While one draws the others wait: the server sees each sample once, and all are told the same texts."""
    with ScriptedServer(numbered()) as server:
        askers = [Asker(server, server_n=server_n) for _ in range(3)]
        with server.hold():
            go(*askers)
            server.wait_for(lambda s: s.held == (1 if server_n else 4), timeout=300)
        told = [asker.told() for asker in askers]
        assert server.choices_served == 4
        assert server.count == (1 if server_n else 4)
    assert told[0][0] == told[1][0] == told[2][0]
    assert sum(drawn for _, drawn, _ in told) == 4
    assert all(drawn + reused == 4 for _, drawn, reused in told)
    assert SampleStore(own_store).count() == 4


def test_eight_processes_share_the_work(own_store):
    """Eight processes want the same 60 samples: each is paid by one of them, whoever, and stored once."""
    prompts = [f"question {number}" for number in range(20)]
    with ScriptedServer(numbered(), latency=(0, 0.01)) as server:
        askers = [Asker(server, prompts, n=3, server_n=False) for _ in range(8)]
        go(*askers)
        told = [asker.told() for asker in askers]
        assert server.choices_served == server.count == 60
    assert all(one[0] == told[0][0] for one in told)
    assert sum(drawn for _, drawn, _ in told) == 60
    assert SampleStore(own_store).count() == 60


def test_a_wider_ask_draws_only_what_nobody_draws(own_store):
    """One process draws four samples; another wants eight of the same request, and asks for the other four at once."""
    with ScriptedServer(numbered()) as server:
        first, second = Asker(server, n=4), Asker(server, n=8)
        with server.hold():
            first.go()
            server.wait_for(lambda s: s.held == 1, timeout=300)
            second.go()
            server.wait_for(lambda s: s.held == 2, timeout=300)
        assert [received.n for received in server.requests] == [4, 4]
        told = [first.told(), second.told()]
    assert told[1][0]["one question"][:4] == told[0][0]["one question"]
    assert told[1][1:] == [4, 4]


def test_a_killed_holder_keeps_no_claim(own_store):
    """`kill -9` while it draws: whoever waits for its samples draws them."""
    with ScriptedServer(numbered()) as server:
        first, second = Asker(server), Asker(server)
        with server.hold():
            first.go()
            server.wait_for(lambda s: s.held == 1, timeout=300)
            second.go()
            first.kill()
            server.wait_for(lambda s: s.count == 2, timeout=300)
        assert second.told()[1:] == [4, 0]
        assert server.choices_served == 4


def test_a_stopped_holder_is_waited_for(own_store):
    """A process that is stopped (SIGSTOP) still holds its claims: nobody pays again, and all goes on when it does."""
    with ScriptedServer(numbered()) as server:
        first, second = Asker(server), Asker(server)
        with server.hold():
            first.go()
            server.wait_for(lambda s: s.held == 1, timeout=300)
            first.process.send_signal(signal.SIGSTOP)
            second.go()
        server.wait_for(lambda s: s.in_flight == 0)
        first.process.send_signal(signal.SIGCONT)
        told = [first.told(), second.told()]
        assert server.count == 1
    assert told[0][0] == told[1][0]
    assert [told[0][1], told[1][1]] == [4, 0]


def test_what_a_holder_fails_to_draw_is_drawn_by_the_next(own_store):
    """A failure is the holder's own: whoever waited asks for itself, and gets it."""
    replies = iter([Reply("no", status=400), "yes"])
    with ScriptedServer(replies) as server:
        first, second = Asker(server, n=1), Asker(server, n=1)
        with server.hold():
            first.go()
            server.wait_for(lambda s: s.held == 1, timeout=300)
            second.go()
        told = [first.told(), second.told()]
    assert told[0] == [{"one question": "status_400"}, 0, 0]
    assert told[1] == [{"one question": ["yes"]}, 1, 0]


def test_an_ask_that_is_given_up_gives_its_claims_back(own_store):
    """A budget is closed while samples are on their way: this process lives on, and another can draw them at once."""
    with ScriptedServer(numbered()) as server:
        lm, other = over(server), Asker(server)
        with server.hold(), ThreadPoolExecutor(1) as pool, rtk.Budget(samples=100) as budget:
            asked = pool.submit(copy_context().run, spent, lm)
            server.wait_for(lambda s: s.held == 1)
            budget.close()
            assert asked.result(300) == "closed"
            other.go()
            server.wait_for(lambda s: s.count == 2, timeout=300)
        assert other.told()[1:] == [4, 0]


def spent(lm):
    """Which limit ends an ask for four samples."""
    try:
        lm("one question", n=4)
    except rtk.BudgetSpent as end:
        return end.limit


def test_a_file_system_without_locks_is_told_of_once(own_store, monkeypatch, caplog):
    """Where files cannot be locked, drawing goes on without claims, and one warning says what that means."""

    def refused(*_):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "lockf", refused)
    with ScriptedServer(numbered()) as server:
        lm = over(server)
        assert len(lm("one", n=3)) == len(lm("two", n=3)) == 3
    assert [record.message for record in caplog.records if "may pay for them twice" in record.message] != []
    assert sum("may pay for them twice" in record.message for record in caplog.records) == 1


def test_a_link_in_the_place_of_the_claims_is_not_followed(own_store, tmp_path):
    """A store of a stranger whose `claims` leads elsewhere: nothing is made or locked there."""
    SampleStore(own_store).close()
    elsewhere = tmp_path / "elsewhere"
    (own_store / "claims").symlink_to(elsewhere)
    with ScriptedServer(numbered()) as server, pytest.raises(StoreError, match="cannot claim"):
        over(server)("one question")
    assert not elsewhere.exists()


def test_a_store_that_is_removed_meanwhile_is_claimed_anew(own_store):
    """After its folder is gone and made again, samples are claimed in the new one, where other processes look."""
    with ScriptedServer(numbered()) as server:
        lm = over(server)
        lm("one question", n=2)
        shutil.rmtree(own_store)
        other = Asker(server, ["another"], n=2)
        with ThreadPoolExecutor(1) as pool, server.hold():
            other.go()
            server.wait_for(lambda s: s.held == 1, timeout=300)
            asked = pool.submit(lm, "another", n=2)
        assert other.told()[0] == {"another": asked.result(300)}
        assert server.count == 2
