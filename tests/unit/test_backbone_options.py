"""The options of a backbone: where NATS is, who the device is there, and what fits together."""

from __future__ import annotations

import pytest

from geventrelay.backbone.nats.address import ServerAddress, addresses, user_and_password
from geventrelay.backbone.options import SMALLEST_BUFFER_BYTES
from geventrelay.errors import SettingsError
from geventrelay.settings import Custom, Forwarder, Queue, Relay, Streamer
from geventrelay.settings.concealed import ConcealedText
from geventrelay.terms import WhenFull

SIDES = {"frontend": 1, "backend": 2}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("n1", ["nats://n1:4222"]),
        ("nats://n1:4223", ["nats://n1:4223"]),
        ("nats://n1:4222,n2,n3:5/", ["nats://n1:4222", "nats://n2:4222", "nats://n3:5"]),
        ("tls://n1,n2:4222", ["tls://n1:4222", "tls://n2:4222"]),
        (["tls://n1", "nats://[::1]:9"], ["tls://n1:4222", "nats://[::1]:9"]),
        (("n1, n2", "n3"), ["nats://n1:4222", "nats://n2:4222", "nats://n3:4222"]),
    ],
)
def test_urls_are_read_with_commas_in_lists_and_without_scheme_or_port(written, expected):
    found = addresses("backbone", written)
    assert [str(one) for one in found] == expected
    assert addresses("backbone", found) == found
    assert addresses("backbone", [str(one) for one in found]) == found


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "nats://",
        "http://n1",
        "n1:0",
        "n1:65536",
        "n 1",
        "nats://n1,",
        4222,
        "4222",
        "nats://4222",
        None,
        [],
        [None],
    ],
)
def test_what_is_no_url_of_nats_is_refused(wrong):
    with pytest.raises(SettingsError, match=r"^backbone: expected URLs of NATS such as"):
        addresses("backbone", wrong)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (["http://n1"], "'http://n1'"),
        ("nats://n1, foo://n2", "'foo://n2'"),
        (["nats://n1", "n2,n3:0"], "'n3:0'"),
        ([""], "''"),
        (["n1", 7], "7"),
        ([], "[]"),
        # Of what a variable holds, no piece is shown.
        ([ConcealedText("n1,n 2", "text with ${N}")], "text with ${N}"),
        (["n 1", "me:s3cret@n2"], "text that has a login"),
    ],
)
def test_an_error_shows_the_one_url_that_is_wrong(written, shown):
    rule = "URLs of NATS such as nats://n1:4222,n2:4222 or tls://n1:4222"
    with pytest.raises(SettingsError) as raised:
        addresses("backbone", written)
    assert str(raised.value) == f"backbone: expected {rule}, got {shown}"


def test_a_login_stands_in_no_text():
    settings = Forwarder(**SIDES, name="a", backbone="nats://me:s3cret@n1,t0ken@n2")
    assert [one.login for one in settings.backbone] == ["me:s3cret", "t0ken"]
    assert "s3cret" not in repr(settings) and "t0ken" not in repr(settings)
    assert str(settings.backbone[0]) == "nats://n1:4222"
    for wrong in ("nats://me:s3cret@n1:99999", "nats://s3cret@n1/x", "s3cret@"):
        with pytest.raises(SettingsError) as raised:
            Forwarder(**SIDES, name="a", backbone=wrong)
        assert "s3cret" not in str(raised.value)


def test_a_login_is_decoded_as_in_a_url():
    assert user_and_password("me:a%3Ab%40c") == ("me", "a:b@c")
    assert user_and_password("me:") == ("me", "")
    assert user_and_password("token") is None


def test_what_is_set_is_kept_and_has_defaults():
    settings = Relay(sub=1, pub=2, name="prices", backbone="n1", backbone_when_full="block")
    assert settings.backbone == (ServerAddress("n1", 4222),)
    assert settings.backbone_when_full is WhenFull.BLOCK
    assert (settings.backbone_prefix, settings.backbone_buffer_bytes) == ("geventrelay", 64 << 20)
    assert Relay(sub=1, pub=2).backbone is None


@pytest.mark.parametrize("prefix", ["a", "prod.relays-1.x_y", "0"])
def test_a_prefix_is_a_subject(prefix):
    assert Relay(sub=1, pub=2, name="a", backbone="n1", backbone_prefix=prefix).backbone_prefix == prefix


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"backbone": "n1"}, "name: expected a name where backbone is given: devices of one name act as one, got ''"),
        ({"backbone_prefix": "p"}, "backbone: expected URLs of NATS where backbone-prefix is given, got nothing"),
        ({"backbone_login": "f"}, "backbone: expected URLs of NATS where backbone-login is given, got nothing"),
        (
            {"name": "a", "backbone": "n1", "backbone_login": "f", "backbone_nkey": "g"},
            "backbone: expected one login at NATS, got backbone-nkey and backbone-login",
        ),
        (
            {"name": "a", "backbone": "t@n1", "backbone_credentials": "f"},
            "backbone: expected one login at NATS, got backbone-credentials and a login in its URLs",
        ),
        (
            {"name": "a", "backbone": "n1", "backbone_cert": "f"},
            "backbone_key: expected a file where backbone-cert is given, got nothing",
        ),
        (
            {"name": "a", "backbone": "n1", "backbone_key": "f"},
            "backbone_cert: expected a file where backbone-key is given, got nothing",
        ),
        (
            {"name": "a", "backbone": "n1", "backbone_buffer_bytes": SMALLEST_BUFFER_BYTES - 1},
            "backbone_buffer_bytes: expected an integer from 1048576 to 4611686018427387904 (bytes), got 1048575",
        ),
        *(
            (
                {"name": "a", "backbone": "n1", "backbone_prefix": wrong},
                "backbone_prefix: expected up to 64 letters, digits, '_' and '-', in words with a '.' between them, "
                f"a letter or digit first, got {wrong!r}",
            )
            for wrong in ("", "a b", "a..b", ".a", "a.", "a.*", "a.>", "$SYS", "a" * 65)
        ),
    ],
)
def test_each_mistake_has_one_line(given, expected):
    with pytest.raises(SettingsError) as raised:
        Forwarder(**SIDES, **given)
    assert str(raised.value) == expected


def test_every_pattern_but_custom_has_it():
    assert Relay(sub=1, push=2, name="a", backbone="n1").pub is None
    for pattern in (Forwarder, Queue, Streamer):
        assert pattern(**SIDES, name="a", backbone="n1").backbone == (ServerAddress("n1", 4222),)
    with pytest.raises(TypeError):
        Custom(**SIDES, frontend_type="PULL", backend_type="PUSH", backbone="n1")


def test_work_is_kept_by_a_backbone_where_there_is_work():
    assert Streamer(**SIDES, name="a", backbone="n1", durable=True).durable is True
    assert Relay(sub=1, push=2, name="a", backbone="n1", durable=True).durable is True
    with pytest.raises(SettingsError, match=r"^backbone: expected URLs of NATS where durable is given, got nothing$"):
        Streamer(**SIDES, name="a", durable=True)
    with pytest.raises(SettingsError, match=r"^push: expected an endpoint where durable is given, got nothing$"):
        Relay(sub=1, pub=2, name="a", backbone="n1", durable=True)
    for pattern in (Forwarder, Queue):
        with pytest.raises(TypeError):
            pattern(**SIDES, name="a", backbone="n1", durable=True)
