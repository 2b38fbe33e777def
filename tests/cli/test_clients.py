"""The client programs of scripts/, each between a real server and the harness's peers, as a shell would use them."""

from __future__ import annotations

import json
import signal
import socket
import sys
import time

import _client
import pytest
import zmq
from support.process import LIMIT_S, SCRIPTS
from support.subscribers import FakeRelay, hash_of

from geventrelay.access.keys import new_pair, write_pair
from geventrelay.testing import eventually

CLIENTS = ["pub", "sub", "push", "pull", "req", "rep"]
SENDERS = ["pub", "push", "req"]
RECEIVERS = ["sub", "pull", "rep"]

STREAMER = ["streamer", "--frontend", "0", "--backend", "0"]
QUEUE = ["queue", "--frontend", "0", "--backend", "0"]
RELAY = ["--sub-port", "0", "--pub-port", "0", "--push-port", "0"]


@pytest.fixture
def client(run):
    """``client("push", ...)`` starts one of the scripts."""
    return lambda name, *arguments, **kwargs: run([sys.executable, SCRIPTS / name, *arguments], **kwargs)


def expect(program, code=0, output=None, errors=""):
    assert program.wait() == code, program.report()
    if output is not None:
        assert program.output == output, program.report()
    assert program.errors == errors, program.report()


# Through each pattern


def test_push_and_pull_through_a_streamer(start, client):
    server = start(*STREAMER)
    pull = client("pull", "--count", "3", server["backend"])
    expect(client("push", server["frontend"], "one", '{"a": 1}', "drei ü"))
    expect(pull, output='one\n{"a": 1}\ndrei ü\n')


def test_tcp_may_be_left_away(start, client):
    server = start(*STREAMER)
    front, back = (server[key].removeprefix("tcp://") for key in ("frontend", "backend"))
    pull = client("pull", "--count", "1", f">{back}")
    expect(client("push", front, "one"))
    expect(pull, output="one\n")
    bound = client("pull", "@127.0.0.1:0", "--timeout", "0")
    assert bound.wait() == 1
    assert bound.errors.startswith("bound to tcp://127.0.0.1:"), bound.report()


def test_req_and_rep_through_a_queue(start, client):
    server = start(*QUEUE)
    rep = client("rep", "--upper", "--count", "4", server["backend"])
    expect(client("req", "--count", "4", server["frontend"], "hello", "world"), output="HELLO\nWORLD\n" * 2)
    expect(rep, output="hello\nworld\n" * 2)


def test_rep_answers_what_it_is_told_to(start, client):
    server = start(*QUEUE)
    client("rep", "--reply", "no", server["backend"])
    expect(client("req", server["frontend"], "may I?"), output="no\n")


def test_pub_and_sub_through_a_forwarder(start, client):
    server = start("forwarder", "--frontend", "0", "--backend", "0")
    sub = client("sub", "--count", "2", "--subscribe", "news ", server["backend"])
    # pub waits until the subscription has come all the way up.
    expect(client("pub", "--topic", "news", server["frontend"], "one", "two"))
    expect(sub, output="news one\nnews two\n")


def test_pub_sub_and_pull_through_a_relay(start, client, peers):
    server = start(*RELAY)
    sub = client("sub", "--count", "1", "--subscribe", "prices ", server["pub"])
    pull = client("pull", "--count", "1", server["push"])
    # The relay takes everything from every publisher, so pub cannot see what is behind it: it goes on until both have.
    client("pub", "--topic", "prices", "--rate", "50", "--count", "1000", server["sub"], '{"a": 1}')
    expect(sub, output='prices {"a": 1}\n')
    expect(pull, output='{"a": 1}\n')


# Without gaps


@pytest.fixture
def fake_relay():
    with FakeRelay() as made:
        yield made


def sub_without_gaps(client, relay, *options):
    return client("sub", "--gapless", relay.replay_endpoint, *options, relay.sub_endpoint)


def expect_beside(program, *arguments, **expected):
    """The same as `expect`, while greenlets of this process go on."""
    eventually(lambda: not program.lives, program.report, LIMIT_S)
    expect(program, *arguments, **expected)


def test_sub_fetches_what_it_has_missed_and_hashes_everything(client, fake_relay):
    sub = sub_without_gaps(client, fake_relay, "--hash", "--count", "500")
    fake_relay.subscribed()
    # After this one, it knows where it began.
    eventually(lambda: fake_relay.requests, "the first request")
    for number in range(500):
        fake_relay.publish(b"topic", b"%d" % number, arrives=number % 3 > 0)
    text = "".join(f"topic | {number}\n" for number in range(500))
    expect_beside(sub, output=f"{text}sha256 {hash_of(fake_relay.log.published)}\n")
    assert fake_relay.fetches


def test_sub_tells_what_is_lost_and_that_a_relay_began_anew(client, fake_relay):
    for number in range(5):
        fake_relay.publish(b"news %d" % number)
        fake_relay.publish(b"weather %d" % number)
    sub = sub_without_gaps(client, fake_relay, "--oldest", "--subscribe", "news")
    sub.until_said("news 4\n")
    for number in range(5, 9):
        fake_relay.publish(b"news %d" % number, arrives=False)
    fake_relay.log.forget_before(1013)
    sub.until_said("news 8\n")
    sub.signal(signal.SIGINT)
    expect_beside(
        sub, output="".join(f"news {number}\n" for number in (0, 1, 2, 3, 4, 8)),
        errors="sub: lost: messages 1010 to 1012\nsub: interrupted\n",
    )  # fmt: skip


def test_sub_goes_on_with_a_relay_that_began_anew(client, fake_relay):
    fake_relay.publish(b"old")
    sub = sub_without_gaps(client, fake_relay, "--oldest", "--count", "2")
    sub.until_said("old\n")
    fake_relay.begin_anew(5000)
    fake_relay.publish(b"new")
    expect_beside(
        sub, output="old\nnew\n",
        errors="sub: the relay began anew: from message 1001 on, some may be lost; it goes on with 5000\n",
    )  # fmt: skip


def test_sub_says_that_a_relay_does_not_number_its_messages(client):
    with FakeRelay(stamped=False) as relay:
        expect_beside(
            sub_without_gaps(client, relay), 1, "",
            f"sub: ENDPOINT {relay.sub_endpoint}: expected a relay with --stamp, "
            "got one that does not number its messages\n",
        )  # fmt: skip


def test_sub_without_gaps_ends_when_nothing_comes(client, fake_relay):
    expect_beside(sub_without_gaps(client, fake_relay, "--timeout", "1"), 1, "", "sub: nothing came within 1 s\n")
    fake_relay.publish(b"one")
    expect_beside(sub_without_gaps(client, fake_relay, "--timeout", "0.5", "--oldest"), output="one\n")


def test_sub_says_that_no_answer_came_from_where_no_relay_answers(client, fake_relay):
    silent = fake_relay.sub_endpoint
    sub = client("sub", "--gapless", silent, "--timeout", "0.2", silent)
    expect_beside(sub, 1, "", f"sub: --gapless: no answer from {silent} within 0.2 s\n")


@pytest.mark.parametrize(
    ("arguments", "errors"),
    [
        (["--oldest", "5556"], "--oldest: expected --gapless beside it"),
        (["--gapless", "@5558", "5556"], "--gapless: expected an endpoint to connect to, got @5558"),
        (["--gapless", "5558", "@5556"], "ENDPOINT: expected an endpoint to connect to, got @5556"),
        (["--gapless", "x", "5556"], "--gapless: expected an endpoint to connect to"),
    ],
)
def test_wrong_endpoints_of_a_sub_without_gaps_are_wrong_usage(client, arguments, errors):
    program = client("sub", *arguments)
    assert program.wait() == 2
    assert program.errors.startswith(f"sub: {errors}"), program.report()


# What is sent


def test_keys_open_a_streamer_that_lets_known_peers_in(start, client, folder):
    for name in ("relay", "alice"):
        write_pair("DIR", folder, name, new_pair())
    (folder / "clients").mkdir()
    (folder / "alice.key").rename(folder / "clients" / "alice.key")
    server = start(*STREAMER, "--curve-secret", "relay.key_secret", "--curve-clients", "clients")
    keys = ("--curve-secret", "alice.key_secret", "--curve-serverkey", "relay.key")
    pull = client("pull", "--count", "1", *keys, server["backend"])
    expect(client("push", *keys, server["frontend"], "task"))
    expect(pull, output="task\n")


@pytest.mark.parametrize(
    ("arguments", "errors"),
    [
        (["--curve-secret", "a"], "--curve-secret: expected --curve-secret and --curve-serverkey, both or none, got a"),
        (["--curve-secret", "a", "--curve-serverkey", "b"], "--curve-secret: expected a file with keys, got a ("),
        (["--curve-secret", "b", "--curve-serverkey", "b"], "--curve-secret: expected a file with a secret key, got b"),
    ],
)
def test_wrong_keys_are_wrong_usage(client, folder, arguments, errors):
    write_pair("DIR", folder, "relay", new_pair())
    (folder / "relay.key").rename(folder / "b")
    program = client("pull", *arguments, "5999")
    assert program.wait() == 2, program.report()
    assert program.errors.startswith(f"pull: {errors}")


def test_lines_of_standard_input_are_the_messages(start, client):
    server = start(*STREAMER)
    pull = client("pull", "--count", "3", server["backend"])
    expect(client("push", server["frontend"], stdin=b"one\r\n\ntwo three"))
    expect(pull, output="one\n\ntwo three\n")


def test_count_takes_the_first_lines(start, client):
    server = start(*STREAMER)
    pull = client("pull", "--count", "2", server["backend"])
    expect(client("push", "--count", "2", server["frontend"], stdin=b"1\n2\n3\n"))
    expect(pull, output="1\n2\n")
    assert server.stop()["frontend.received"] == 2


def test_count_repeats_the_arguments(start, client):
    server = start(*STREAMER)
    pull = client("pull", "--count", "5", server["backend"])
    expect(client("push", "--count", "5", server["frontend"], "a", "b"))
    expect(pull, output="a\nb\na\nb\na\n")


def test_a_message_may_look_like_an_option(start, client):
    server = start(*STREAMER)
    pull = client("pull", "--count", "1", server["backend"])
    expect(client("push", server["frontend"], "--", "--count"))
    expect(pull, output="--count\n")


def test_rate_spreads_the_messages(start, client):
    server = start(*STREAMER)
    pull = client("pull", "--count", "6", server["backend"])
    pull.until(lambda: pull.lives, "pull")
    began = time.monotonic()
    expect(client("push", "--count", "6", "--rate", "10", server["frontend"], "tick"))
    # Five gaps of 0.1 s: a slow machine makes that longer, and nothing makes it shorter.
    assert time.monotonic() - began >= 0.5
    expect(pull, output="tick\n" * 6)


@pytest.mark.parametrize("name", SENDERS)
def test_json_refuses_what_is_none(start, client, name):
    server = start(*STREAMER)
    program = client(name, *(["--no-wait"] if name == "pub" else []), "--json", server["frontend"], "{a: 1}")
    assert program.wait() == 2
    assert program.errors.startswith(f"{name}: message 1 is not JSON: ")
    assert len(program.errors.splitlines()) == 1


# What is printed


def test_json_lays_out_messages_also_behind_a_topic(start, client):
    server = start(*STREAMER)
    pull = client("pull", "--json", "--count", "3", server["backend"])
    expect(client("push", "--json", server["frontend"], '{"a": [1, "ü"]}'))
    expect(client("push", server["frontend"], 'prices {"a": 1}', "plain"))
    layout = json.dumps({"a": [1, "ü"]}, indent=2, ensure_ascii=False)
    expect(pull, output=f'{layout}\nprices {{\n  "a": 1\n}}\nplain\n')


def test_a_message_is_one_line_whatever_is_in_it(start, client, peers):
    server = start(*STREAMER)
    pull = client("pull", "--count", "2", server["backend"])
    sender = peers.connect(zmq.PUSH, server["frontend"])
    sender.send(b"one\ntwo", b"", b"\xff\x00")
    sender.send("\u2028\x1b[31mü".encode())
    expect(pull, output="one\\ntwo |  | \\xff\\x00\n\\u2028\\x1b[31mü\n")


def test_each_message_is_printed_when_it_comes(start, client, peers):
    server = start(*STREAMER)
    pull = client("pull", server["backend"])
    sender = peers.connect(zmq.PUSH, server["frontend"])
    for number in (1, 2):
        sender.send(b"message %d" % number)
        pull.until_said(f"message {number}\n")
    pull.signal(signal.SIGINT)
    expect(pull, output="message 1\nmessage 2\n", errors="pull: interrupted\n")


def test_a_reader_that_has_gone_is_told_in_one_line(start, peers, run):
    server = start(*STREAMER)
    pull = run(["/bin/sh", "-c", '"$@" | true; exit 0', "sh", sys.executable, SCRIPTS / "pull", server["backend"]])
    sender = peers.connect(zmq.PUSH, server["frontend"])
    eventually(lambda: sender.send(b"message") or not pull.lives, "pull to notice", LIMIT_S)
    expect(pull, errors="pull: standard output was closed\n")


# How they end


@pytest.mark.parametrize("name", CLIENTS)
def test_help_tells_usage_and_exit_codes(client, name):
    program = client(name, "--help")
    assert program.wait() == 0
    assert f"usage: {name} " in program.output
    assert "exit codes: 0 " in program.output
    assert program.errors == ""


@pytest.mark.parametrize("name", CLIENTS)
def test_a_bad_endpoint_is_wrong_usage(client, name):
    message = ["message"] if name in SENDERS else []
    endpoints = ["nonsense", "tcp://127.0.0.1:70000", "http://127.0.0.1:1", "tcp://127.0.0.1:0"]
    for endpoint, program in [(endpoint, client(name, endpoint, *message)) for endpoint in endpoints]:
        assert program.wait() == 2, program.report()
        (line,) = program.errors.splitlines()
        assert line.startswith(f"{name}: cannot connect {endpoint}: ")


@pytest.mark.parametrize("name", CLIENTS)
def test_a_bad_option_is_wrong_usage(client, name):
    message = ["message"] if name in SENDERS else []
    options = ["--count=0", "--count=x", "--bogus"]
    for option, program in [(option, client(name, option, "5555", *message)) for option in options]:
        assert program.wait() == 2, program.report()
        assert program.errors.startswith(f"{name}: ")
        assert option.partition("=")[0] in program.errors
        assert "Traceback" not in program.errors


def test_a_taken_port_cannot_be_bound(client):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        expect(client("pull", "@" + endpoint), 1, "", f"pull: cannot bind {endpoint}: Address already in use\n")


@pytest.mark.parametrize("name", RECEIVERS)
def test_a_receiver_gives_up_when_nothing_comes(start, client, name):
    server = start("forwarder" if name == "sub" else "queue" if name == "rep" else "streamer", *STREAMER[1:])
    program = client(name, "--timeout", "0.2", server["backend"])
    expect(program, 1, "", f"{name}: nothing came within 0.2 s\n")


def test_a_receiver_tells_how_many_of_its_count_came(start, client, peers):
    server = start(*STREAMER)
    peers.connect(zmq.PUSH, server["frontend"]).send(b"one")
    program = client("pull", "--count", "2", "--timeout", "0.5", server["backend"])
    expect(program, 1, "one\n", "pull: nothing came within 0.5 s (1 of 2 came)\n")


def test_a_receiver_without_a_count_has_had_what_there_was(start, client, peers):
    server = start(*STREAMER)
    peers.connect(zmq.PUSH, server["frontend"]).send(b"one")
    expect(client("pull", "--timeout", "0.5", server["backend"]), 0, "one\n")


def test_push_says_what_it_waits_for(monkeypatch, capsys):
    monkeypatch.setattr(_client, "PATIENCE", 0.01)
    options = {"ENDPOINT": "5999", "--timeout": 0.05}
    with zmq.Context() as context, context.socket(zmq.PUSH) as push, context.socket(zmq.PULL) as pull:
        push.linger, push.immediate = 0, True
        port = push.bind_to_random_port("tcp://127.0.0.1")
        # Once, and not for each message.
        assert not _client.takes(push, options)
        assert not _client.takes(push, options)
        pull.connect(f"tcp://127.0.0.1:{port}")
        assert _client.takes(push, {**options, "--timeout": None})
    assert capsys.readouterr().err == "waiting for a PULL at 5999 that takes a message\n"


def test_push_gives_up_when_no_peer_takes_its_message(client):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        program = client("push", "--timeout", "0.2", str(deaf.getsockname()[1]), "task")
        expect(program, 1, "", "push: no peer took a message within 0.2 s\n")


def test_pub_gives_up_when_no_peer_subscribes(start, client):
    server = start("forwarder", "--frontend", "0", "--backend", "0")
    expect(
        client("pub", "--wait", "0.2", server["frontend"], "news"),
        1, "", "pub: no peer subscribed to this message within 0.2 s\n",
    )  # fmt: skip


def test_pub_does_not_wait_when_told_so(start, client):
    server = start("forwarder", "--frontend", "0", "--backend", "0")
    expect(client("pub", "--no-wait", server["frontend"], "news"))


def test_req_gives_up_without_a_worker(start, client):
    server = start(*QUEUE)
    expect(client("req", "--timeout", "0.2", server["frontend"], "hello"), 1, "", "req: no reply within 0.2 s\n")


def test_ctrl_c_ends_an_endless_receiver_well_and_a_sender_badly(start, client, peers):
    server = start(*STREAMER)
    pull = client("pull", server["backend"])
    push = client("push", "--rate", "100", "--count", "100000", server["frontend"], "tick")
    pull.until_said("tick\n")
    for program, code in ((push, 1), (pull, 0)):
        program.signal(signal.SIGINT)
        assert program.wait() == code
        assert program.errors.splitlines()[-1].endswith("interrupted")
        assert "Traceback" not in program.errors


def test_a_binding_client_says_which_free_port_it_took(client, peers):
    pull = client("pull", "--count", "1", "@tcp://127.0.0.1:0")
    pull.until_logged("bound to ")
    peers.connect(zmq.PUSH, pull.errors.split()[-1]).send(b"task")
    assert pull.wait() == 0
    assert pull.output == "task\n"


def test_pub_waits_for_a_subscriber_that_wants_its_message(client, peers):
    publisher = client("pub", "@tcp://127.0.0.1:0", "news one")
    publisher.until_logged("bound to ")
    endpoint = publisher.errors.split()[-1]
    other = peers.connect(zmq.SUB, endpoint, subscribe=b"weather")
    subscriber = peers.connect(zmq.SUB, endpoint, subscribe=b"news")
    assert subscriber.recv() == [b"news one"]
    assert publisher.wait(LIMIT_S) == 0
    assert not other.recv_now()


def test_quickstart_tells_what_it_does(run):
    program = run([sys.executable, SCRIPTS / "quickstart", "--help"])
    assert program.wait() == 0
    assert "--seconds" in program.output
    assert program.errors == ""


def test_quickstart_refuses_a_time_that_is_none(run):
    for value in ("0", "x"):
        program = run([sys.executable, SCRIPTS / "quickstart", "--seconds", value])
        assert program.wait() == 2
        assert "--seconds" in program.errors
        assert "Traceback" not in program.errors
