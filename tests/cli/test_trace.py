"""geventrelay trace, as a user starts it: at servers as they run, and at one that is made up."""

from __future__ import annotations

import copy
import json

import pytest
from support.nats import nats_server
from support.process import GEVENTRELAY, environment
from support.stub_server import StubServer

from geventrelay.testing import eventually

HOPS = ["outbox here", "NATS, both ways", "inbox there", "device there", "outbox there", "inbox here", "device here"]
PLACES = ["outbox", "nats", "inbox_there", "device_there", "outbox_there", "inbox", "device"]
ANSWERED = {
    "relay": "9cd83b317a738238", "host": "west-1", "outcome": "answered", "reason": "", "seconds": 0.2,
    "silent_s": 0.4, "dropped": 0, "sent": True, "wanted": True, "subscriptions": 2, "room": 64, "credit": 7,
    "hops": [
        {"place": place, "seconds": seconds, "messages": messages, "over": True}
        for place, seconds, messages in zip(
            PLACES, (0.05, 0.1, 0.0, 0.0, 0.05, 0.0, 0.0), (1200, None, 0, 0, 1, 0, 0), strict=True
        )
    ],
    "look_at": None,
}  # fmt: skip
WAITS = {
    "relay": "dc0e86e279b41953", "host": "west-2", "outcome": "waits", "reason": "it waits there for the device",
    "seconds": 3.0, "silent_s": 0.4, "dropped": 1, "sent": False, "wanted": None, "subscriptions": None, "room": None,
    "credit": None,
    "hops": [*ANSWERED["hops"][:2], {"place": "inbox_there", "seconds": 2.85, "messages": 1, "over": False}],
    "look_at": {"there": True, "values": ["incoming", "dropped.slow"]},
}  # fmt: skip
ANSWER = {
    "version": 1, "device": "prices", "answered": False, "limit_s": 3.0, "took_s": 3.0, "topic": "a\\x1b",
    "relay": "4c12b8173c844c0c", "host": "east-1", "server": "nats://n1:4222", "reason": "", "away_s": None,
    "waiting": 1200, "incoming": 5, "dropped": 2, "wanted": False, "subscriptions": 0, "room": 1,
    "relays": [ANSWERED, WAITS],
}  # fmt: skip
PICTURE = """\
prices: relay 4c12b8173c844c0c on east-1, at nats://n1:4222
  1,200 messages for others wait here, 5 from others
  2 messages for others dropped here since its start: NATS was away or too slow
  a\\x1b: not wanted here
  its workers have room for 1 message

9cd83b317a738238 on west-1  answered in 200 ms
  outbox here       50.00 ms  ########                        behind 1,200 messages
  NATS, both ways     100 ms         ###############
  inbox there        0.00 ms                        #
  device there       0.00 ms                        #
  outbox there      50.00 ms                        ########  behind 1 message
  inbox here         0.00 ms                               #
  device here        0.00 ms                               #
  topic            goes there; it is wanted, by 2 topics of subscribers there
  work             its workers have room for 64 messages; 7 may be sent there now

dc0e86e279b41953 on west-2  NO ANSWER: it waits there for the device
  outbox here       50.00 ms  #                               behind 1,200 messages
  NATS, both ways     100 ms  #
  inbox there          2.9 s   #############################  behind 1 message, <-- stays here
  topic            does not go there
  dropped          1 message there since its start: what takes them was too slow
  look at          incoming, dropped.slow of that relay

1 of 2 relays have answered
"""


@pytest.fixture
def stub():
    with StubServer(lambda seconds: [], token="secret") as server:
        yield server


@pytest.fixture
def trace(run, folder):
    """``trace(...)`` runs the command to its end; gives what it printed, and what it complained of."""
    (folder / "token").write_text("secret\n")
    (folder / "token").chmod(0o600)

    def trace(*arguments: str, code: int, token: bool = True, **options) -> tuple[str, str]:
        given = ("--token-file", "token") if token else ()
        program = run([*GEVENTRELAY, "trace", *arguments, *given], **options)
        assert program.wait() == code, program.report()
        assert "Traceback" not in program.errors
        return program.output, program.errors

    return trace


@pytest.fixture
def servers(start, tmp_path, folder):
    """A server of NATS, and two relays."""
    (folder / "token").write_text("secret\n")
    (folder / "token").chmod(0o600)
    with nats_server(tmp_path) as nats:
        relay = ("--sub-port", "0", "--pub-port", "0", "--name", "prices", "--backbone", nats.url)
        made = [start(*relay, "--http", "0", "--http-token-file", "token") for _ in range(2)]
        for one in made:
            one.until_logged("backbone-joined")
        yield made


def answered(program_output: str) -> bool:
    return json.loads(program_output)["answered"]


def test_all_that_have_answered_are_shown_and_the_exit_code_is_0(servers, trace):
    url = servers[0].http
    output, said = trace("prices", url, "--topic", "a", "--seconds", "20", code=0)
    lines = output.splitlines()
    assert lines[0].startswith("prices: relay ") and ", at nats://127.0.0.1:" in lines[0]
    assert lines[1] == "  a: not wanted here"
    assert [line[2:18].strip() for line in lines if line[2:18].strip() in HOPS] == HOPS
    assert "  topic            does not go there; it is not wanted there" in lines
    assert lines[-1] == "1 of 1 relays have answered"
    assert said == ""
    output, _ = trace("prices", url, "--json", "--seconds", "20", code=0)
    (line,) = output.splitlines()
    assert json.loads(line)["answered"] is True


def test_what_the_server_does_not_do_is_told_in_one_line(servers, trace):
    url = servers[0].http
    for arguments, options, told in (
        (("nix", url), {}, "HTTP 404: no device is called nix"),
        (("prices", url), {"token": False}, "(give it with --token-file)"),
    ):
        output, said = trace(*arguments, code=1, **options)
        (line,) = said.splitlines()
        assert output == "" and line.startswith(url.rstrip("/")) and told in line


@pytest.mark.parametrize("given", ["x", "0", "61", "nan"])
def test_how_long_to_wait_has_one_rule(run, given):
    program = run([*GEVENTRELAY, "trace", "prices", "--seconds", given])
    assert program.wait() == 2
    assert program.errors == f"--seconds: expected a number above 0 and up to 60 (seconds), got '{given}'\n"


def test_the_way_is_shown_as_a_picture(stub, trace):
    stub.overrides["/api/devices/prices/trace"] = (200, ANSWER)
    output, _ = trace("prices", stub.url, code=1, env=environment(PYTHONIOENCODING="ascii"))
    assert output == PICTURE
    output, _ = trace("prices", stub.url, code=1, env=environment(PYTHONIOENCODING="utf-8"))
    assert output == PICTURE.replace("#", "\u2588")
    assert max(map(len, output.splitlines())) <= 100


def test_the_answer_can_be_had_as_json(stub, trace):
    stub.overrides["/api/devices/prices/trace"] = (200, ANSWER)
    output, _ = trace("prices", stub.url, "--json", code=1)
    assert json.loads(output) == ANSWER


def test_the_question_has_what_was_given(stub, trace):
    stub.overrides["/api/devices/a%2Fb/trace"] = (200, {**ANSWER, "answered": True})
    trace("a/b", stub.url, "--seconds", "0.5", "--topic", "\udcff a", code=0)
    trace("a/b", stub.url, code=0)
    trace("a/b", stub.url, "--topic", "", code=0)
    path = "/api/devices/a%2Fb/trace"
    assert stub.posted == [f"{path}?seconds=0.5&topic=%FF+a", f"{path}?seconds=3", f"{path}?seconds=3&topic="]


def test_an_empty_topic_is_all_messages_and_work_has_none(stub, trace):
    for changes, told in (
        ({"topic": "", "wanted": True, "subscriptions": 1}, "'', all messages: wanted, by 1 topic of subscribers here"),
        ({"topic": "", "wanted": None, "subscriptions": None}, "'', all messages: no topics here"),
        ({"topic": "a", "wanted": None, "subscriptions": None}, "a: no topics here"),
    ):
        stub.overrides["/api/devices/prices/trace"] = (200, {**ANSWER, **changes})
        output, _ = trace("prices", stub.url, code=1)
        assert f"  {told}" in output.splitlines()


@pytest.mark.parametrize(
    ("room", "workers", "told"),
    [
        (0, 0, "it has no workers"),
        (0, 2, "its 2 workers have room for 0 messages"),
        (7, 1, "its 1 worker has room for 7 messages"),
        (7, 0, "its workers have room for 7 messages"),
        (0, None, "its workers have room for 0 messages"),
    ],
)
def test_no_workers_are_not_shown_as_busy_ones(stub, trace, room, workers, told):
    counts = {"room": room, "workers": workers}
    answer = {**ANSWER, **counts, "relays": [{**ANSWERED, **counts}]}
    stub.overrides["/api/devices/prices/trace"] = (200, answer)
    lines = trace("prices", stub.url, code=1)[0].splitlines()
    assert f"  {told}" in lines
    assert f"  work             {told}; 7 may be sent there now" in lines


def test_of_work_that_nats_keeps_it_tells_how_that_stands(stub, trace):
    store = {"state": "storing", "reason": "", "replicas": 3, "waiting": 5, "packs": 2, "bytes": 1300}
    line = "  NATS keeps its work on 3 servers, it holds 2 packs (1,300 bytes), 5 on the way there"
    for told, shown in (
        (store, line),
        (
            {**store, "state": "refused", "reason": "full\x1b", "packs": None},
            "  NATS DOES NOT KEEP ITS WORK: full\\x1b, 5 on",
        ),
        ({"state": "frozen"}, "  its work is kept by NATS: frozen"),
        ({}, "  its work is kept by NATS: ?"),
    ):
        stub.overrides["/api/devices/prices/trace"] = (200, {**ANSWER, "store": told})
        output, _ = trace("prices", stub.url, code=1)
        assert shown in output


def test_without_others_or_nats_the_end_says_so(stub, trace):
    alone = {**ANSWER, "relays": [], "server": "", "reason": "refused", "away_s": 75.0, "topic": None, "room": None}
    stub.overrides["/api/devices/prices/trace"] = (200, alone)
    output, _ = trace("prices", stub.url, code=1)
    assert output.splitlines()[0].endswith("on east-1, not connected to NATS for 75.0 s (refused)")
    assert output.splitlines()[-1] == "no other relay of this name is known"


def test_a_server_that_is_older_or_newer_is_shown_as_far_as_it_is_known(stub, trace):
    newer = {"place": "moon\x1b", "seconds": 1.0, "over": True, "more": [1]}
    answer = {"version": 1, "answered": True, "relays": [{"relay": "1"}, {"relay": "2", "hops": [newer]}]}
    stub.overrides["/api/devices/prices/trace"] = (200, answer)
    output, _ = trace("prices", stub.url, code=0)
    assert "1 on a host without a name  NO ANSWER: " in output
    assert "  moon\\x1b" in output and "\x1b" not in output


def changed(path: str, value: object) -> dict:
    answer = copy.deepcopy(ANSWER)
    *way, last = path.split(".")
    place = answer
    for key in way:
        place = place[int(key)] if isinstance(place, list) else place[key]
    place[last] = value
    return answer


@pytest.mark.parametrize(
    "answer",
    [
        [], {}, {"version": 1}, changed("answered", 1), changed("answered", None), changed("relays", {}),
        changed("waiting", -1), changed("away_s", "long"), changed("relays.0.relay", None),
        changed("relays.0.subscriptions", 0.5), changed("relays.0.hops", 1), changed("relays.0.hops.0.place", None),
        changed("relays.0.hops.0.seconds", 1e300), changed("relays.1.look_at.values", [1]),
        changed("relays.1.look_at", 7), changed("store", 7), changed("store", {"packs": "x"}),
    ],
)  # fmt: skip
def test_an_answer_of_another_program_is_told_in_one_line(stub, trace, answer):
    stub.overrides["/api/devices/prices/trace"] = (200, answer)
    output, said = trace("prices", stub.url, code=1)
    assert output == ""
    assert said.startswith(f"{stub.url.rstrip('/')}: expected the API of geventrelay, got ")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("prices", "ftp://x"), "URL: expected http://HOST:PORT"),
        (("prices", "--seconds", "0"), "--seconds: expected a number above 0 and up to 60 (seconds)"),
        (("prices", "--seconds", "61"), "--seconds: expected a number above 0 and up to 60 (seconds)"),
        (("prices", "--token-file", "none"), "--token-file: expected a file that can be read"),
    ],
)
def test_wrong_usage_is_told(trace, arguments, told):
    output, said = trace(*arguments, code=2, token=False)
    assert output == "" and told in said


def test_a_port_alone_is_one_of_this_host(stub, trace):
    stub.overrides["/api/devices/prices/trace"] = (200, ANSWER)
    output, _ = trace("prices", str(stub.port), code=1)
    assert output.startswith("prices: ")
    assert eventually(lambda: stub.posted, "the question")
