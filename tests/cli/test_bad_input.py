"""Whatever is wrong with what was asked for: one line on standard error, an exit code, and nothing left behind."""

from __future__ import annotations

import contextlib
import socket
import sys
from pathlib import Path

import pytest
from support.process import CAP_DAC_OVERRIDE, CAP_NET_BIND_SERVICE, GEVENTRELAY, listens, without_capabilities

RELAY = ["--sub-port", "0", "--push-port", "0", "--interface", "127.0.0.1"]
QUEUE = ["queue", "--frontend", "0", "--backend", "0", "--interface", "127.0.0.1"]


def custom(frontend_type, backend_type):
    types = ["--frontend-type", frontend_type, "--backend-type", backend_type]
    return ["custom", *types, "--frontend", "0", "--backend", "0"]


USAGE = {
    "relay alone": (["relay"], ["relay", "--sub-port"]),
    "unknown option": ([*RELAY, "--bogus"], ["known option", "'--bogus'"]),
    "misspelt option": ([*RELAY, "--sndhwn=5"], ["did you mean --sndhwm", "'--sndhwn'"]),
    "option without its value": ([*RELAY, "--sndhwm"], ["--help", "--sndhwm"]),
    "option given twice": ([*RELAY, "--sndhwm", "5", "--sndhwm", "6"], ["--help"]),
    "option with a value that it does not take": ([*QUEUE, "--ipv6=True"], ["--ipv6: expected no value", "'True'"]),
    "option with a value behind it that it does not take": ([*QUEUE, "--ipv6", "True"], ["--ipv6: expected no value"]),
    "None": (["--sub-port", "None", "--push-port", "0"], ["--sub-port", "leave it away", "'None'"]),
    "a list": (["--sub-port", "[1, 2]", "--push-port", "0"], ["--sub-port", "give the option once for each"]),
    "a tuple": ([*QUEUE, "--sndhwm", "(1, 2)"], ["--sndhwm", "give the option once for each"]),
    "a time with its unit": ([*RELAY, "--linger", "1s"], ["--linger", "milliseconds", "1000", "'1s'"]),
    "a type that is no frontend": (custom("PUSH", "PUB"), ["--frontend-type", "use one of DEALER", "'PUSH -> PUB'"]),
    "a socket type for a pattern": (["pub"], ["did you mean forwarder?", "'pub'"]),
    "a file for a command": (["relay.toml"], ["did you mean run relay.toml?", "'relay.toml'"]),
    "a file for a command, with options": (["./my/relay.toml", "--http", "0"], ["did you mean run ./my/relay.toml?"]),
    "a file for init": (["init", "relay.toml"], ["geventrelay init > relay.toml", "'init relay.toml'"]),
    "unknown pattern": (["relais", "--sub-port", "0"], ["did you mean relay", "'relais'"]),
    "two patterns": (["queue", *QUEUE], ["--help"]),
    "relay with nowhere to send": (["relay", "--sub-port", "0"], ["--push-port", "pub"]),
    "queue without a backend": (["queue", "--frontend", "0"], ["queue", "--backend"]),
    "custom without types": (["custom", "--frontend", "0", "--backend", "0"], ["--frontend-type", "--backend-type"]),
    "no value": ([*QUEUE, "--sndhwm"], ["--sndhwm", "a value (see geventrelay queue --help)", "nothing"]),
    "no value of an option that bounds alone shows": (
        ["forwarder", "--frontend", "0", "--backend", "0", "--topics"],
        ["--topics", "a value (see geventrelay help bounds)", "nothing"],
    ),
    "another pattern's option, which another command has too": (
        [*QUEUE, "--topics", "10"],
        ["--topics", "a command that has it (relay, forwarder)", "'queue'"],
    ),
    "another pattern's option": ([*QUEUE, "--push-payload", "whole"], ["--push-payload", "(relay)", "'queue'"]),
    "forwarder's option for relay": ([*RELAY, "--backend", "0"], ["--backend", "relay"]),
    "device's option for run": (
        ["run", "x.toml", "--sndhwm", "5"], ["--sndhwm", "(relay, forwarder, ", "stands in [device.NAME]", "'run'"],
    ),
    "process's option for check": (["check", "x.toml", "--http", "5"], ["--http", "stands at the top", "'check'"]),
    "another command's option": (["top", "--control-type", "REP"], ["--control-type", "custom, ctl)", "'top'"]),
    "socket's option": (
        [*QUEUE, "--tcp-keepalive", "1"], ["known option", "stands in [device.NAME.SOCKET]", "'--tcp-keepalive'"],
    ),
    "socket's option before the pattern": (["--tos", "5", *QUEUE], ["known option", "[device.NAME.SOCKET]", "'--tos'"]),
    "no such command to help with": (["help", "relais"], ["COMMAND", "did you mean relay", "'relais'"]),
    "REQ in custom": (custom("REQ", "DEALER"), ["--frontend-type", "REQ", "use DEALER"]),
    "REP in custom": (custom("ROUTER", "REP"), ["--backend-type", "REP", "use ROUTER"]),
    "sides swapped in custom": (custom("PUSH", "PULL"), ["--frontend-type", "PUSH", "swap"]),
    "XPUB in custom": (custom("PULL", "XPUB"), ["--backend-type", "XPUB", "PUB"]),
    "no such socket type": (custom("FOO", "PUB"), ["--frontend-type", "'FOO'", "PULL"]),
    "port 70000": (["--sub-port", "70000", "--push-port", "0"], ["--sub-port", "0 to 65535", "'70000'"]),
    "port 70000 of a host": (["--sub-port", "tcp://127.0.0.1:70000", "--push-port", "0"], ["--sub-port", "0 to 65535"]),
    "negative port": (["--sub-port=-1", "--push-port", "0"], ["--sub-port", "0 to 65535", "'-1'"]),
    "port that is no number": (["--sub-port", "abc", "--push-port", "0"], ["--sub-port", "tcp://HOST:PORT", "'abc'"]),
    "endpoint without a port": (["--sub-port", "tcp://127.0.0.1", "--push-port", "0"], ["--sub-port", "tcp://HOST:PORT"]),
    "endpoint of another protocol": (["--sub-port", "http://a:1", "--push-port", "0"], ["--sub-port", "'http://a:1'"]),
    "endpoint without a path": (["--sub-port", "ipc://", "--push-port", "0"], ["--sub-port", "ipc://PATH"]),
    "ipc path too long": (["--sub-port", "ipc://" + "x" * 108, "--push-port", "0"], ["--sub-port", "107 bytes"]),
    "host with an empty part": (["--sub-port", "tcp://a..b:5", "--push-port", "0"], ["--sub-port", "a host name"]),
    "host with a long part": (
        ["--sub-port", f">tcp://{'a' * 64}.example:5", "--push-port", "0"], ["--sub-port", "1 to 63 characters"],
    ),
    "HTTP host with an empty part": ([*RELAY, "--http", "a..b:0"], ["--http", "HOST:PORT", "'a..b:0'"]),
    "connect to port 0": (["--sub-port", ">tcp://127.0.0.1:0", "--push-port", "0"], ["--sub-port", "connect"]),
    "same port twice": (["--sub-port", "15555", "--push-port", "15555"], ["--push-port", "bound once", "15555"]),
    "negative HWM": ([*RELAY, "--sndhwm=-5"], ["--sndhwm", "integer from 0 to 2147483647 (messages)", "'-5'"]),
    "HWM that is no number": ([*RELAY, "--rcvhwm", "many"], ["--rcvhwm", "integer from 0 to 2147483647", "'many'"]),
    "HWM too large": ([*RELAY, "--rcvhwm", "9999999999"], ["--rcvhwm", "integer from 0 to 2147483647", "'9999999999'"]),
    "fractional linger": ([*RELAY, "--linger", "1.5"], ["--linger", "integer from 0 to 2147483647 (millis", "'1.5'"]),
    "drain that is no number": ([*RELAY, "--drain", "x"], ["--drain", "(seconds)", "'x'"]),
    "drain that is not finite": ([*RELAY, "--drain", "nan"], ["--drain", "seconds", "'nan'"]),
    "no io threads": ([*RELAY, "--io-threads", "0"], ["--io-threads", "1 to 64", "'0'"]),
    "message size 9": ([*RELAY, "--max-message-size", "9"], ["--max-message-size", "0 or an integer from 1024", "'9'"]),
    "heartbeat that is no number": ([*RELAY, "--heartbeat", "often"], ["--heartbeat", "integer from 0", "'often'"]),
    "name with a space": ([*RELAY, "--name", "a b"], ["--name", "letters, digits", "'a b'"]),
    "unknown log level": ([*RELAY, "--log-level", "loud"], ["--log-level", "warning", "'loud'"]),
    "unknown log format": ([*RELAY, "--log-format", "xml"], ["--log-format", "json", "'xml'"]),
    "http port 70000": ([*RELAY, "--http", "70000"], ["--http", "HOST:PORT", "'70000'"]),
    "http address with a path": ([*RELAY, "--http", "http://a:1/"], ["--http", "HOST:PORT", "'http://a:1/'"]),
    "token file without a name": ([*RELAY, "--http-token-file="], ["--http-token-file", "a path", "''"]),
    "token file without http": ([*RELAY, "--http-token-file", "x"], ["--http-token-file", "for http", "'x'"]),
    "bound of HTTP without http": ([*RELAY, "--http-connections", "5"], ["--http-connections", "for http", "'5'"]),
    "proxy of HTTP without http": (
        [*RELAY, "--http-trusted-proxy", "10.0.0.0/8"], ["--http-trusted-proxy", "for http", "'10.0.0.0/8'"],
    ),
    "unknown payload": ([*RELAY, "--push-payload", "half"], ["--push-payload", "whole", "'half'"]),
    "underscores in an option": (
        ["relay", "--sub_port", "5", "--push-port", "0"], ["did you mean --sub-port?", "'--sub_port'"],
    ),
    "a short option": (["-p", "15556"], ["an option in full", "'-p'"]),
    "a short option of a pattern": ([*RELAY, "-v"], ["an option in full", "geventrelay relay --help", "'-v'"]),
    "version without dashes": (["version"], ["did you mean --version?", "'version'"]),
    "a word that is like no command": (["help", "toml"], ["see geventrelay --help", "'toml'"]),
    "an option of no command": (["top", "--nothing", "2"], ["see geventrelay top --help", "'--nothing'"]),
    "a relay that sends nowhere": (["relay", "--sub-port", "5"], ["for push, for pub or for both", "got neither"]),
    "unknown policy": ([*RELAY, "--push-when-full", "panic"], ["--push-when-full", "block", "'panic'"]),
}  # fmt: skip


@pytest.mark.parametrize("case", USAGE)
def test_wrong_usage_is_told_in_one_line_with_exit_code_2(run, case):
    arguments, words = USAGE[case]
    expect_refusal(run([*GEVENTRELAY, *arguments]), 2, words)


SEVERAL = {
    "values": (
        ["streamer", "--frontend", "abc", "--backend", "None", "--linger", "1s", "--http", "x"],
        ["--frontend: ", "--backend: ", "--linger: ", "--http: "],
    ),
    "flags and values": (
        ["streamer", "--frontend", "abc", "--nosuch", "5", "--sndhwn=5", "--linger", "x"],
        ["--frontend: ", "usage: expected a known option", "usage: expected a known option", "--linger: ", "usage: "],
    ),
    "process and file": (
        ["run", "/no/file", "--http", "x", "--log-level", "loud"], ["--http: ", "--log-level: ", "/no/file: "],
    ),
    "of a command": (["tap", "1", "--count", "x", "--seconds", "y"], ["--count: ", "--seconds: "]),
}  # fmt: skip


@pytest.mark.parametrize("case", SEVERAL)
def test_all_mistakes_are_told_at_once(run, case):
    arguments, beginnings = SEVERAL[case]
    program = run([*GEVENTRELAY, *arguments])
    assert program.wait() == 2, program.report()
    lines = program.errors.splitlines()
    assert len(lines) == len(beginnings), program.report()
    assert sorted(beginnings) == sorted(
        max((one for one in beginnings if line.startswith(one)), key=len, default="") for line in lines
    ), program.report()


SECRET = "s3cr3t"
SECRETS = {
    "token that is no file": ([*QUEUE, "--http-token", SECRET], "--http-token-file with the path of a file"),
    "token that is no file, with =": (["tap", f"--token={SECRET}", "1"], "--token-file with the path of a file"),
    "token before the pattern": (["--http-token", SECRET, *QUEUE], "--http-token-file with the path of a file"),
    "token and a word too many": ([*QUEUE, "--http-token-file", "x", SECRET], "something else"),
    "token and no backend": (["queue", "--frontend", "0", f"--http-token-f={SECRET}"], "--http-token-f=(not shown)"),
    "token for another command": (["top", "--token", SECRET, "127.0.0.1:1"], "'top'"),
    "password of a proxy": ([*QUEUE, "--socks-password", SECRET], "'--socks-password'"),
    "password of a proxy, with =": ([*QUEUE, f"--socks-password={SECRET}"], "'--socks-password'"),
    "key": (["run", "x.toml", "--curve-secretkey", SECRET], "'--curve-secretkey'"),
    "key before the pattern": ([f"--curve-secretkey={SECRET}", *QUEUE], "'--curve-secretkey'"),
    "password in an address": (["ctl", f"http://me:{SECRET}@127.0.0.1:1", "a", "b"], "http://(not shown)@127.0.0.1:1"),
    "password in an address of HTTP": ([*QUEUE, "--http", f"http://me:{SECRET}@127.0.0.1:1"], "--http"),
    "password in an endpoint": ([*QUEUE, "--control", f"tcp://me:{SECRET}@127.0.0.1:1"], "--control"),
}  # fmt: skip


@pytest.mark.parametrize("case", SECRETS)
def test_an_error_of_the_command_line_shows_no_secret(run, case):
    arguments, words = SECRETS[case]
    program = run([*GEVENTRELAY, *arguments])
    expect_refusal(program, 2, [words])
    assert SECRET not in program.errors


@pytest.mark.parametrize("key", ["frontend", "control", "http"])
def test_an_error_of_a_file_shows_no_password_in_an_address(run, folder, key):
    file = folder / "relay.toml"
    at_the_top = f'http = "http://me:{SECRET}@h:1"\n' if key == "http" else ""
    device = {"frontend": "0", "backend": "0"} | ({} if at_the_top else {key: f'"tcp://me:{SECRET}@h:1"'})
    lines = "".join(f"{name} = {value}\n" for name, value in device.items())
    file.write_text(f'{at_the_top}[device.d]\npattern = "streamer"\n{lines}')
    program = run([*GEVENTRELAY, "check", str(file)])
    expect_refusal(program, 2, [key, "://(not shown)@h:1"])
    assert SECRET not in program.errors


CANNOT = {
    "host that does not resolve": ("tcp://no-such-host.invalid:5555", ["cannot bind", "no such host"]),
    "host to connect to that does not resolve": (">tcp://no-such-host.invalid:1", ["cannot connect", "no such host"]),
    "interface that does not exist": ("tcp://nosuch0:0", ["cannot bind tcp://nosuch0:0", "no such host or interface"]),
    "address of another host": ("tcp://192.0.2.1:0", ["cannot bind", "Cannot assign requested address"]),
    "ipc path in a missing folder": ("ipc:///no/such/folder/x", ["cannot bind", "No such file or directory"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CANNOT)
def test_what_cannot_be_had_is_told_in_one_line_with_exit_code_1(run, case):
    endpoint, words = CANNOT[case]
    arguments = ["--sub-port", endpoint, "--push-port", "0", "--interface", "127.0.0.1"]
    expect_refusal(run([*GEVENTRELAY, *arguments]), 1, [endpoint.removeprefix(">"), "(relay sub)", *words])


def test_an_interface_that_does_not_exist_is_told_for_bare_ports(run):
    program = run([*GEVENTRELAY, "--sub-port", "0", "--push-port", "0", "--interface", "nosuch0"])
    expect_refusal(program, 1, ["tcp://nosuch0:0", "(relay sub)", "no such host or interface"])


def test_a_taken_port_is_told_by_its_name(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program = run([*GEVENTRELAY, "--sub-port", str(port), "--push-port", "0", "--interface", "127.0.0.1"])
        program.wait()
    expect_refusal(program, 1, [f"cannot bind tcp://127.0.0.1:{port} (relay sub): Address already in use"])


def test_a_taken_ipc_path_is_refused_and_stays_whose_it_was(start, run, folder):
    first = start("streamer", "--frontend", f"ipc://{folder}/tasks", "--backend", "0")
    second = run([*GEVENTRELAY, "streamer", "--frontend", first["frontend"], "--backend", "0"])
    expect_refusal(second, 1, [f"cannot bind ipc://{folder}/tasks (streamer frontend): Address already in use"])
    assert listens(first["frontend"])


def test_a_privileged_port_is_refused(run):
    first_free = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if first_free < 2:
        pytest.skip("on this machine no port is privileged")
    command = [*without_capabilities(CAP_NET_BIND_SERVICE), *GEVENTRELAY]
    port = first_free - 1
    program = run([*command, "--sub-port", str(port), "--push-port", "0", "--interface", "127.0.0.1"])
    expect_refusal(program, 1, [f"cannot bind tcp://127.0.0.1:{port} (relay sub): Permission denied"])


def test_an_ipc_path_in_an_unwritable_folder_is_refused(run, folder):
    (folder / "locked").mkdir(mode=0o555)
    endpoint = f"ipc://{folder}/locked/x"
    command = [*without_capabilities(CAP_DAC_OVERRIDE), *GEVENTRELAY]
    program = run([*command, "--sub-port", endpoint, "--push-port", "0", "--interface", "127.0.0.1"])
    expect_refusal(program, 1, [f"cannot bind {endpoint} (relay sub): Permission denied"])


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("no/such/folder/x", "No such file or directory"),
        ("file/x", "Not a directory"),
        ("folder", "Is a directory"),
        ("locked/x", "Permission denied"),
    ],
)
def test_a_ready_file_that_cannot_be_written_is_told(run, folder, path, reason):
    (folder / "file").touch()
    (folder / "folder").mkdir()
    (folder / "locked").mkdir(mode=0o555)
    command = [*without_capabilities(CAP_DAC_OVERRIDE), *GEVENTRELAY]
    program = run([*command, *RELAY, "--ready-file", folder / path])
    expect_refusal(program, 1, [f"cannot write {folder / path} (--ready-file): {reason}"])
    assert not list(folder.rglob(".*"))


def test_nothing_is_left_of_a_start_whose_second_endpoint_is_taken(run, folder):
    with reserved_port() as port, socket.create_server(("127.0.0.1", 0)) as taken:
        second = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        ends = ["--frontend", f"ipc://{folder}/first", "--frontend", str(port), "--backend", second]
        program = run([*GEVENTRELAY, "queue", *ends, "--interface", "127.0.0.1"])
        expect_refusal(program, 1, [f"cannot bind {second} (queue backend): Address already in use"])
        assert not listens(f"tcp://127.0.0.1:{port}")
        assert not listens(f"ipc://{folder}/first")


FAIL_AND_BIND_AGAIN = """
import sys, zmq
from geventrelay import Device, Queue, StartError

first, taken = sys.argv[1:]
device = Device(Queue(frontend=first, backend=taken))
try:
    device.start()
except StartError as error:
    print(error)
with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
    socket.bind(first)
print("free again, and", device.state.value)
"""


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_after_a_failed_start_the_same_process_can_bind_the_first_endpoint(run, folder, transport):
    with reserved_port() as port, socket.create_server(("127.0.0.1", 0)) as taken:
        first = f"tcp://127.0.0.1:{port}" if transport == "tcp" else f"ipc://{folder}/first"
        second = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        program = run([sys.executable, "-c", FAIL_AND_BIND_AGAIN, first, second])
        assert program.wait() == 0, program.report()
    assert program.output.splitlines() == [
        f"cannot bind {second} (queue backend): Address already in use",
        "free again, and stopped",
    ]


def expect_refusal(program, code, words):
    assert program.wait() == code, program.report()
    assert program.output == "", program.report()
    assert program.errors.endswith("\n"), program.report()
    assert len(program.errors.splitlines()) == 1, program.report()
    for word in words:
        assert word in program.errors, program.report()


@contextlib.contextmanager
def reserved_port():
    """A port that the kernel hands to nobody else: held, not listened on, and so free for whoever names it."""
    with socket.socket() as holder:
        # As libzmq does; two such sockets may share a port as long as one of them at most listens.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]
