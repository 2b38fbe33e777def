"""What is said to a SOCKS proxy, and which addresses of one are taken."""

from __future__ import annotations

import pytest
import zmq

from geventrelay.components.socks import Proxy, ProxyError, conversation
from geventrelay.errors import SettingsError
from geventrelay.settings.socket_checks import host_and_port

PLAIN, KNOWN = Proxy("proxy", 1080), Proxy("proxy", 1080, b"me", b"secret")


def said(proxy, host, *answers):
    """What is sent, given what the proxy answers each time."""
    talk, sent = conversation(proxy, host, 0x1234), []
    try:
        words, size = next(talk)
        for answer in answers:
            sent.append(words)
            assert len(answer) == size
            words, size = talk.send(answer)
        raise AssertionError(f"it waits for {size} bytes more")
    except StopIteration:
        return sent


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("10.1.2.3", b"\x01\x0a\x01\x02\x03"),
        ("worker.example", b"\x03\x0eworker.example"),
        ("::1", b"\x04" + bytes(15) + b"\x01"),
    ],
)
def test_a_host_is_asked_for(host, address):
    sent = said(PLAIN, host, b"\x05\x00", b"\x05\x00\x00\x01", bytes(6))
    assert sent == [b"\x05\x01\x00", b"\x05\x01\x00" + address + b"\x12\x34", b""]


@pytest.mark.parametrize(
    "rest",
    [(b"\x05\x00\x00\x01", bytes(6)), (b"\x05\x00\x00\x04", bytes(18)), (b"\x05\x00\x00\x03", b"\x09", bytes(11))],
)
def test_the_address_that_the_proxy_tells_is_read(rest):
    assert said(PLAIN, "a", b"\x05\x00", *rest)


def test_username_and_password_are_sent():
    sent = said(KNOWN, "a", b"\x05\x02", b"\x01\x00", b"\x05\x00\x00\x01", bytes(6))
    assert sent[:2] == [b"\x05\x01\x02", b"\x01\x02me\x06secret"]
    assert "secret" not in repr(KNOWN)


@pytest.mark.parametrize(
    ("proxy", "answers", "why"),
    [
        (PLAIN, [b"HT"], "it speaks no SOCKS 5"),
        (PLAIN, [b"\x05\xff"], "it asks for other credentials"),
        (KNOWN, [b"\x05\x00"], "it asks for other credentials"),
        (KNOWN, [b"\x05\x02", b"\x01\x01"], "wrong username or password"),
        (PLAIN, [b"\x05\x00", b"\x05\x05\x00\x01"], "connection refused"),
        (PLAIN, [b"\x05\x00", b"\x05\x63\x00\x01"], "refusal 99"),
        (PLAIN, [b"\x05\x00", b"\x04\x00\x00\x01"], "it speaks no SOCKS 5"),
        (PLAIN, [b"\x05\x00", b"\x05\x00\x00\x09"], "it speaks no SOCKS 5"),
    ],
)
def test_a_refusal_says_why(proxy, answers, why):
    with pytest.raises(ProxyError, match=f"^{why}$"):
        said(proxy, "a", *answers)


def test_the_proxy_of_a_sockets_options():
    assert Proxy.of({zmq.SOCKS_USERNAME: b"me"}) is None
    options = {zmq.SOCKS_PROXY: b"[::1]:1080", zmq.SOCKS_USERNAME: b"me", zmq.SOCKS_PASSWORD: b"secret"}
    assert Proxy.of(options) == Proxy("::1", 1080, b"me", b"secret")
    assert str(Proxy("::1", 1080)) == "[::1]:1080"


@pytest.mark.parametrize("good", ["127.0.0.1:9", "proxy:1080", "a-b.example:65535", "[::1]:1", b"x_y:1"])
def test_an_address_of_a_proxy_is_taken(good):
    assert host_and_port("socks_proxy", good) == (good if isinstance(good, bytes) else good.encode())


@pytest.mark.parametrize(
    "bad",
    [
        "", "a", ":1", "a:", "a:0", "a:65536", "a:99999", "a:-1", "a:1 ", " a:1", "a b:1", "a..b:1", ".a:1", "-a:1",
        "a-:1", "a" * 64 + ":1", ".".join(["a" * 60] * 5) + ":1", "tcp://a:1", "a:1:2", "::1:1", "[::1]",
        "[::1", "[x]:1", "[127.0.0.1]:1", "1.2.3:1", "999.0.0.1:1", "a/b:1", "a\0:1", "\u00e4:1", "a:\u0661",
        1, None, True,
    ],
)  # fmt: skip
def test_nonsense_is_refused_in_one_line(bad):
    with pytest.raises(SettingsError, match=r"^socks_proxy: expected HOST:PORT") as error:
        host_and_port("socks_proxy", bad)
    assert "\n" not in str(error.value)
