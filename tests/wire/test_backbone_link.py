"""How a link is let in at NATS, by every way that there is, and what it does where it is not."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess

import gevent
import nkeys
import pytest
from support.backbone import LIMIT_S, Relays, until_served
from support.nats import kept_port, nats_cluster, nats_server

from geventrelay.backbone.exchange import Exchange
from geventrelay.backbone.nats import link
from geventrelay.backbone.values import LinkState
from geventrelay.errors import StartError
from geventrelay.settings import Forwarder
from geventrelay.testing import eventually

pytestmark = pytest.mark.usefixtures("no_device_expires")

SIDES = {"frontend": 1, "backend": 2, "name": "prices"}


def secret_file(folder, text, name="secret"):
    file = folder / name
    file.write_text(text)
    file.chmod(0o600)
    return file


def pair(prefix):
    """A pair of keys as NATS has them: the seed and the public key."""
    seed = nkeys.encode_seed(os.urandom(32), prefix)
    return nkeys.from_seed(bytearray(seed)), bytes(seed).decode()


def connects(relays, **more):
    """Whether a relay of these settings is let in; if not, why."""
    relay = relays.start(**more)
    relay.until(lambda now: now.state is LinkState.CONNECTED or now.reason != "not connected yet", "an answer")
    return relay.now.state is LinkState.CONNECTED, relay.now.reason


def test_a_user_is_let_in_by_the_password_in_the_url_or_in_a_file(tmp_path, caplog):
    with nats_server(tmp_path, "--user", "me", "--pass", "s3cr@t") as nats, Relays(nats.url) as relays:
        login = secret_file(tmp_path, "me:s3cr%40t\n")
        assert connects(relays, backbone_login=login) == (True, "")
        assert connects(relays) == (False, "Authorization Violation")
        assert connects(relays, backbone_login=secret_file(tmp_path, "me:other", "wrong"))[0] is False
        relays.url = nats.url.replace("nats://", "nats://me:s3cr%40t@")
        relay = relays.start()
        relay.until(lambda now: now.state is LinkState.CONNECTED, "a connection")
        assert relay.now.server == nats.url
    assert "s3cr" not in caplog.text and "other" not in caplog.text


def test_a_server_that_does_not_run_is_said_in_the_words_of_the_system():
    keeper, port = kept_port()
    with keeper, Relays(f"nats://127.0.0.1:{port}") as relays:
        assert connects(relays) == (False, "Connection refused")


@pytest.mark.slow
def test_a_password_that_was_replaced_in_its_file_counts_for_the_next_connection(tmp_path):
    configuration = tmp_path / "nats.conf"
    configuration.write_text("authorization { user: me, password: one }")
    with nats_server(tmp_path, "-c", str(configuration)) as nats, Relays(nats.url) as relays:
        relay = relays.start(backbone_login=secret_file(tmp_path, "me:one"))
        relay.until(lambda now: now.state is LinkState.CONNECTED, "a connection")
        nats.kill()
        configuration.write_text("authorization { user: me, password: other }")
        nats.start()
        relay.until(lambda now: now.reason == "Authorization Violation", "a refusal")
        secret_file(tmp_path, "me:other")
        relay.until(lambda now: now.state is LinkState.CONNECTED, "a connection with the other password")


def test_a_token_is_one_too(tmp_path):
    with nats_server(tmp_path, "--auth", "t0ken") as nats, Relays(nats.url) as relays:
        assert connects(relays, backbone_login=secret_file(tmp_path, "t0ken")) == (True, "")
        assert connects(relays)[0] is False
        relays.url = nats.url.replace("nats://", "nats://t0ken@")
        assert connects(relays) == (True, "")


def test_an_nkey_is_one_too(tmp_path):
    user, seed = pair(nkeys.PREFIX_BYTE_USER)
    configuration = tmp_path / "nats.conf"
    configuration.write_text(f"authorization {{ users: [{{ nkey: {user.public_key.decode()} }}] }}\n")
    with nats_server(tmp_path, "-c", str(configuration)) as nats, Relays(nats.url) as relays:
        assert connects(relays, backbone_nkey=secret_file(tmp_path, seed + "\n")) == (True, "")
        other = pair(nkeys.PREFIX_BYTE_USER)[1]
        assert connects(relays, backbone_nkey=secret_file(tmp_path, other, "other"))[0] is False


def token(issuer, subject, name, claims):
    """A JWT as NATS has it."""

    def text(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    body = {"iss": issuer.public_key.decode(), "sub": subject, "name": name, "iat": 1, "nats": {**claims, "version": 2}}
    body["jti"] = base64.b32encode(hashlib.sha256(json.dumps(body).encode()).digest()).decode().rstrip("=")
    signed = f"{text(json.dumps({'typ': 'JWT', 'alg': 'ed25519-nkey'}).encode())}.{text(json.dumps(body).encode())}"
    return f"{signed}.{text(issuer.sign(signed.encode()))}"


def test_credentials_are_one_too(tmp_path):
    operator, account = pair(nkeys.PREFIX_BYTE_OPERATOR)[0], pair(nkeys.PREFIX_BYTE_ACCOUNT)[0]
    user, seed = pair(nkeys.PREFIX_BYTE_USER)
    name = account.public_key.decode()
    limits = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1) | {"wildcards": True}
    of_operator = token(operator, operator.public_key.decode(), "o", {"type": "operator"})
    of_account = token(operator, name, "a", {"type": "account", "limits": limits})
    of_user = token(account, user.public_key.decode(), "u", {"type": "user", "subs": -1, "data": -1, "payload": -1})
    configuration = tmp_path / "nats.conf"
    configuration.write_text(
        f"operator: {of_operator}\nresolver: MEMORY\nresolver_preload: {{ {name}: {of_account} }}\n"
    )
    text = (
        f"-----BEGIN NATS USER JWT-----\n{of_user}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
    with nats_server(tmp_path, "-c", str(configuration)) as nats, Relays(nats.url) as relays:
        assert connects(relays, backbone_credentials=secret_file(tmp_path, text)) == (True, "")
        assert connects(relays)[0] is False


@pytest.fixture
def certificates(tmp_path):
    """Files with a certificate for 127.0.0.1 and its key, and with one that vouches for it."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here")

    def made(name, *arguments):
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        files = tmp_path / f"{name}.pem", tmp_path / f"{name}-key.pem"
        command += ["-days", "1", "-subj", f"/CN={name}", "-out", str(files[0]), "-keyout", str(files[1]), *arguments]
        subprocess.run(command, check=True, capture_output=True)
        files[1].chmod(0o600)
        return files

    ca = made("ca", "-addext", "keyUsage=critical,keyCertSign")
    of_ca = ("-CA", str(ca[0]), "-CAkey", str(ca[1]), "-addext", "basicConstraints=critical,CA:FALSE")
    return ca[0], made("server", *of_ca, "-addext", "subjectAltName=IP:127.0.0.1"), made("client", *of_ca)


def test_over_tls_both_ends_show_certificates(tmp_path, certificates):
    ca, server, client = certificates
    tls = ("--tls", "--tlscert", str(server[0]), "--tlskey", str(server[1]), "--tlsverify", "--tlscacert", str(ca))
    with nats_server(tmp_path, *tls) as nats, Relays(nats.url.replace("nats://", "tls://")) as relays:
        own = {"backbone_ca": ca, "backbone_cert": client[0], "backbone_key": client[1]}
        one, other = relays.start(**own), relays.start(**own)
        for relay in (one, other):
            relay.want(b"")
        until_served(one, other)
        one.publish([b"a", b"x" * 100_000])
        other.until_came(1)
        assert connects(relays, backbone_ca=ca)[0] is False
        assert connects(relays)[0] is False


def test_what_must_be_encrypted_is_not_said_in_clear(tmp_path, certificates):
    ca, *_ = certificates
    with nats_server(tmp_path, "--user", "me", "--pass", "s3cret", "-DV") as nats:
        login = secret_file(tmp_path, "me:s3cret")
        with Relays(nats.url) as relays:
            assert connects(relays, backbone_login=login, backbone_ca=ca) == (False, "the server has no TLS")
        with Relays(nats.url.replace("nats://", "tls://")) as relays:
            assert connects(relays, backbone_login=login) == (False, "the server has no TLS")
        assert "CONNECT" not in nats.log


def test_what_nats_does_not_permit_is_told(tmp_path, caplog):
    configuration = tmp_path / "nats.conf"
    permissions = '{ publish: "geventrelay.>", subscribe: "geventrelay.prices.a" }'
    configuration.write_text(f"authorization {{ users: [{{ user: me, password: it, permissions: {permissions} }}] }}\n")
    with (
        nats_server(tmp_path, "-c", str(configuration)) as nats,
        Relays(nats.url.replace("nats://", "nats://me:it@")) as relays,
    ):
        relay = relays.start()
        relay.until(lambda now: now.state is LinkState.CONNECTED, "a connection")
        # It may be seen with the second question to the server, after five seconds.
        eventually(lambda: "backbone-refused" in caplog.text, "a line of the log", LIMIT_S)
        assert relay.now.state is LinkState.CONNECTED
    assert "permissions violation for subscription" in caplog.text


def test_a_connection_whose_library_has_stopped_is_made_anew(tmp_path):
    with nats_server(tmp_path) as nats, Relays(nats.url) as relays:
        one, other = relays.start(), relays.start()
        for relay in (one, other):
            relay.want(b"")
        until_served(one, other)
        for task in ("_flusher_task", "_reading_task"):
            count = one.now.connects
            one.ends.call(getattr(one.exchange._link._connection, task).cancel)
            one.until(lambda now, count=count: now.connects > count, "another connection")
            eventually(lambda: not one.exchange._mesh.waits, "an answer of the other", LIMIT_S)
        one.publish([b"a"])
        other.until_came(1)


def test_of_several_servers_one_that_is_there_is_taken(tmp_path):
    with nats_server(tmp_path) as gone, nats_server(tmp_path) as there:
        gone.kill()
        with Relays(f"{gone.url},{there.url}") as relays:
            relay = relays.start()
            relay.until(lambda now: now.state is LinkState.CONNECTED, "a connection")
            assert relay.now.server == there.url
            gone.start()
            there.kill()
            relay.until(lambda now: now.server == gone.url, "the other server")


def test_the_log_says_what_others_call_a_device_that_is_connected(tmp_path, caplog):
    caplog.set_level("INFO", "geventrelay")
    with nats_server(tmp_path) as nats, Relays(nats.url) as relays:
        one = relays.start()
        one.until(lambda now: now.state is LinkState.CONNECTED, "a connection")
        (line,) = [one.getMessage() for one in caplog.records if "backbone-connected" in one.getMessage()]
        assert line == f"backbone-connected device=prices relay={one.now.relay} server={nats.url}"


def test_how_far_away_nats_is_is_unknown_while_it_is_away(tmp_path):
    with nats_server(tmp_path) as nats, Relays(nats.url) as relays:
        one, _ = relays.start(), relays.start()
        one.until(lambda now: now.round_trip_s is not None, "a way to NATS")
        one.until(lambda now: now.others_round_trip_s is not None, "a way to the other relay")
        nats.kill()
        one.until(lambda now: now.state is LinkState.CONNECTING, "no connection")
        assert (one.now.round_trip_s, one.now.others_round_trip_s) == (None, None)
        assert [relay.round_trip_s for relay in one.now.neighbours] == [None]
        nats.start()
        one.until(lambda now: now.round_trip_s is not None, "a way to NATS")


@pytest.mark.slow
def test_in_a_cluster_order_is_kept_while_interests_change_and_a_server_that_ends_is_left(tmp_path):
    with nats_cluster(tmp_path, 3) as servers, contextlib.ExitStack() as stack:
        urls = [server.url for server in servers]
        # Each prefers another server.
        made = [stack.enter_context(Relays(",".join(urls[place:] + urls[:place]))).start() for place in range(3)]
        publisher, steady, changing = made
        for relay in (steady, changing):
            relay.want(b"a")
        publisher.until(lambda now: len([one for one in now.neighbours if one.served]) == 2, "others that are served")
        assert {relay.now.server for relay in made} == set(urls)
        for number in range(400):
            publisher.publish(*([topic, b"%d" % number] for topic in (b"a", b"b")))
            if number % 10 == 0:
                (changing.want, changing.want_no_more)[number // 10 % 2](b"b")
            if number % 2 == 0:
                gevent.sleep(0.001)
        for relay in (steady, changing):
            eventually(lambda relay=relay: numbers(relay, b"a")[-1:] == [399], "the last message", LIMIT_S)
            assert numbers(relay, b"a") == list(range(400))
            assert relay.now.lost == 0
        of_b = numbers(changing, b"b")
        assert of_b == sorted(set(of_b))
        servers[1].kill()
        steady.until(lambda now: now.server in (urls[0], urls[2]), "another server")
        # Others have answered it there, so what they send comes there too.
        eventually(lambda: not steady.exchange._mesh.waits, "an answer of the others", LIMIT_S)
        publisher.publish([b"a", b"400"])
        eventually(lambda: numbers(steady, b"a")[-1:] == [400], "a message over another server", LIMIT_S)


def numbers(relay, topic):
    return [int(parts[1]) for parts in relay.came if parts[0] == topic]


@pytest.mark.slow
def test_a_server_that_answers_no_more_is_left(tmp_path):
    with (
        nats_server(tmp_path) as stalled,
        nats_server(tmp_path) as there,
        Relays(f"{stalled.url},{there.url}") as relays,
    ):
        relay = relays.start()
        relay.until(lambda now: now.server == stalled.url, "a connection")
        os.kill(stalled.pid, signal.SIGSTOP)
        relay.until(lambda now: now.server == there.url, "the other server")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"backbone_login": "none"}, "backbone-login: expected a file that can be read (No such file or directory)"),
        ({"backbone_nkey": "open"}, "backbone-nkey: expected a file that only its owner can read or write"),
        ({"backbone_credentials": "open"}, "backbone-credentials: expected a file that only its owner can read or"),
        ({"backbone_ca": "open"}, "backbone-ca: expected a file with certificates ("),
        ({"backbone_ca": "none"}, "backbone-ca: expected a file with certificates (No such file or directory)"),
        (
            {"backbone_cert": "open", "backbone_key": "open"},
            "backbone-key: expected a file that only its owner can read or write",
        ),
        ({"backbone_cert": "open", "backbone_key": "secret"}, "backbone-cert: expected a certificate and its key ("),
    ],
)
def test_files_that_cannot_be_used_are_an_error_at_the_start(tmp_path, given, expected):
    (tmp_path / "open").write_text("x")
    (tmp_path / "open").chmod(0o644)
    secret_file(tmp_path, "x")
    exchange = Exchange(Forwarder(**SIDES, backbone="n1", **{key: tmp_path / name for key, name in given.items()}))
    with pytest.raises(StartError) as raised:
        exchange.open()
    assert str(raised.value).startswith(f"cannot join prices with others: {expected}")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("module", "package"), [("nats", "nats-py"), ("nkeys", "nkeys")])
def test_a_missing_library_is_one_line(monkeypatch, module, package):
    found = importlib.util.find_spec
    monkeypatch.setattr(link.importlib.util, "find_spec", lambda name: None if name == module else found(name))
    with pytest.raises(StartError, match=rf"^backbone needs {package}: pip install {package}, or pip install 'geve"):
        Exchange(Forwarder(**SIDES, backbone="n1")).open()
