"""Each rule of the settings, and the sentence that a broken one gives."""

from __future__ import annotations

import dataclasses
import inspect
import pydoc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay import Custom, Device, Forwarder, Payload, Queue, Relay, SettingsError, Streamer, WhenFull
from geventrelay.settings import PATTERNS, ServerSettings
from geventrelay.settings.option import options_of

NAME = "up to 64 letters, digits, '.', '_' and '-', a letter or digit first"
INTEGERS = "an integer from 0 to 2147483647"
MESSAGES, MS = f"{INTEGERS} (messages)", f"{INTEGERS} (milliseconds)"


def streamer(**settings):
    return Streamer(frontend=1, backend=2, **settings)


@pytest.mark.parametrize(
    ("name", "rule", "values"),
    [
        ("name", NAME, ["a b", "a\n", 5, ".a", "a/b", "a" * 65, "\u00e4", 'a"', None]),
        ("interface", "printable text without spaces", ["a b", "\0", 5]),
        ("sndhwm", MESSAGES, [-1, "-5", "many", 1.5, True, None, 2**31, b"1"]),
        ("rcvhwm", MESSAGES, [-1, "", "1e3", False]),
        ("linger_ms", MS, [-1, None]),
        ("heartbeat_ms", "an integer from 0 to 32767000 (milliseconds)", [-1, "off", 32_767_001, 2**31 - 1]),
        ("io_threads", "an integer from 1 to 64", [0, 65, "none"]),
        (
            "max_message_size_bytes",
            "0 or an integer from 1024 to 9223372036854775807 (bytes)",
            [1, 1023, -1, "big", False, 2**63],
        ),
        ("drain_s", "a number from 0 to 86400 (seconds)", [-0.1, "nan", float("inf"), 86401, "soon", None, True]),
        ("ipv6", "true or false", [1, "yes", None, []]),
    ],
)
def test_a_broken_rule_is_named_with_input_and_value(name, rule, values):
    for value in values:
        with pytest.raises(SettingsError) as error:
            streamer(**{name: value})
        assert str(error.value) == f"{name}: expected {rule}, got {value!r}"
        assert (error.value.name, error.value.rule) == (name, rule)


@pytest.mark.parametrize(
    ("name", "given_value", "kept"),
    [
        ("sndhwm", "0", 0),
        ("rcvhwm", 2**31 - 1, 2**31 - 1),
        ("drain_s", "2.5", 2.5),
        ("drain_s", 0, 0.0),
        ("io_threads", "64", 64),
        ("max_message_size_bytes", None, None),
        ("max_message_size_bytes", "0", 0),
        ("max_message_size_bytes", "1024", 1024),
        ("heartbeat_ms", 32_767_000, 32_767_000),
        ("name", "", "streamer"),
        ("name", "tasks", "tasks"),
    ],
)
def test_a_value_within_the_rules_is_kept_as_its_own_type(name, given_value, kept):
    value = getattr(streamer(**{name: given_value}), name)
    assert value == kept
    assert type(value) is type(kept)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Relay(sub=1), "push: expected an endpoint for push, for pub or for both, got neither"),
        (lambda: Relay(sub=None, pub=2), "sub: expected tcp://HOST:PORT"),
        (lambda: Relay(sub=1, push=2, push_payload="half"), "push_payload: expected one of auto, space, parts, whole"),
        (lambda: Relay(sub=1, push=2, push_when_full="wait"), "push_when_full: expected one of drop, block"),
        (lambda: Relay(sub=1, pub=2, subscribe=5), "subscribe: expected text or bytes, got 5"),
        (lambda: Relay(sub=1, pub=2, subscribe=["a", None]), "subscribe: expected text or bytes, got None"),
        (
            lambda: Relay(sub=5555, pub=5555),
            "pub: expected an endpoint that is bound once (sub has it), got 'tcp://*:5555'",
        ),
        (lambda: Queue(frontend=[1, 1], backend=2), "frontend: expected an endpoint that is bound once"),
        (lambda: Queue(frontend=[], backend=2), "frontend: expected at least one endpoint"),
        (lambda: Forwarder(frontend=1, backend=70000), "backend: expected a port from 0 to 65535, got 70000"),
        (lambda: Forwarder(frontend=1, backend=2, slow_subscriber="kill"), "slow_subscriber: expected one of drop, "),
        (lambda: Custom(frontend_type="PULLY", frontend=1, backend_type="PUB", backend=2), "frontend_type: expected "),
        (lambda: Custom(frontend_type="PULL", frontend=1, backend_type=3, backend=2), "backend_type: expected one of"),
    ],
)
def test_a_pattern_refuses_what_breaks_its_own_rules(make, text):
    with pytest.raises(SettingsError) as error:
        make()
    assert str(error.value).startswith(text)


@pytest.mark.parametrize(
    "settings",
    [
        {"frontend_type": "PULL", "backend_type": "PUB", "subscribe": "a"},
        {"frontend_type": "PULL", "backend_type": "PUSH", "slow_subscriber": "block"},
        {"frontend_type": "REQ", "backend_type": "PUB"},
    ],
)
def test_a_custom_pattern_that_cannot_work_is_refused_before_anything_is_started(settings):
    with pytest.raises(SettingsError):
        Device(Custom(frontend=1, backend=2, **settings))


@pytest.mark.parametrize("settings", [None, "streamer", Streamer], ids=["None", "a name", "a class"])
def test_what_is_no_patterns_settings_is_refused_in_one_line(settings):
    with pytest.raises(SettingsError) as refused:
        Device(settings)
    patterns = ", ".join(f"{cls.__name__}(...)" for cls in PATTERNS.values())
    assert patterns.startswith("Relay(...), ")
    assert str(refused.value) == f"settings: expected one of {patterns}, got {settings!r}"


def test_the_same_port_may_be_connected_twice_and_port_0_bound_twice():
    Streamer(frontend=[0, 0], backend=[">tcp://a:1", ">tcp://a:1"])


def test_words_and_enums_are_both_taken():
    by_word = Relay(sub=1, push=2, push_payload="parts", push_when_full="block")
    assert by_word == Relay(sub=1, push=2, push_payload=Payload.PARTS, push_when_full=WhenFull.BLOCK)


def test_subscriptions_become_bytes():
    assert Relay(sub=1, pub=2).subscribe == (b"",)
    assert Relay(sub=1, pub=2, subscribe="\u00e4").subscribe == ("\u00e4".encode(),)
    assert Relay(sub=1, pub=2, subscribe=["a", b"\xff"]).subscribe == (b"a", b"\xff")
    assert Forwarder(frontend=1, backend=2).subscribe is None


def test_socket_types_are_taken_in_any_case():
    custom = Custom(frontend_type="pull", frontend=1, backend_type="Pub", backend=2)
    assert (custom.frontend_type, custom.backend_type) == ("PULL", "PUB")


def test_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        streamer().sndhwm = 5


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_device_is_called_after_its_pattern_and_every_setting_has_its_own_option(pattern):
    options = [option.name for option in (*options_of(PATTERNS[pattern]), *options_of(ServerSettings))]
    assert len(set(options)) == len(options)
    fields = {field.name for field in dataclasses.fields(PATTERNS[pattern])}
    assert {option.field for option in options_of(PATTERNS[pattern])} == fields - {"socket_options", "socket_access"}
    assert PATTERNS[pattern].pattern == pattern


def test_endpoints_are_listed_by_socket_and_absent_ones_are_not():
    relay = Relay(sub=1, push=[2, ">tcp://a:3"])
    assert {key: list(map(str, one)) for key, one in relay.endpoints.items()} == {
        "sub": ["tcp://*:1"],
        "push": ["tcp://*:2", ">tcp://a:3"],
    }


VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.just([]))


@given(st.sampled_from([field.name for field in dataclasses.fields(Custom)]), VALUES)
def test_any_value_is_taken_or_refused_by_name(name, value):
    settings = {"frontend_type": "SUB", "frontend": 1, "backend_type": "PUB", "backend": 2, name: value}
    try:
        Custom(**settings)
    except SettingsError as error:
        assert error.name in (name, "backend", "frontend", "control"), error


@pytest.mark.parametrize("cls", PATTERNS.values())
def test_help_has_a_line_for_each_option_and_no_huge_one(cls):
    lines = pydoc.render_doc(cls, renderer=pydoc.plaintext).splitlines()
    # The bases of a class are no line that is written.
    assert max(len(line) for line in lines if not line.startswith("class ")) <= 210
    for option in options_of(cls):
        assert sum(f":param {option.field}: " in line for line in lines) == 1


@pytest.mark.parametrize("cls", PATTERNS.values())
def test_the_signature_is_the_true_one(cls):
    parameters = inspect.signature(cls).parameters
    fields = {field.name: field for field in dataclasses.fields(cls)}
    assert set(parameters) == set(fields)
    assert all(one.kind is one.KEYWORD_ONLY for one in parameters.values())
