"""Sizes of a log as users write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay.errors import SettingsError
from geventrelay.retention.replay_size import ReplaySize, replay_size


@pytest.mark.parametrize(
    "written, messages, nbytes, age_s",
    [
        ("100000", 100_000, 0, 0),
        (1, 1, 0, 0),
        ("1B", 0, 1, 0),
        ("256MB", 0, 256_000_000, 0),
        ("256 mb", 0, 256_000_000, 0),
        ("1GiB", 0, 1 << 30, 0),
        ("1.5KiB", 0, 1536, 0),
        ("2TiB", 0, 2 << 40, 0),
        ("90s", 0, 0, 90),
        ("10min", 0, 0, 600),
        ("2h", 0, 0, 7200),
        ("1.5h", 0, 0, 5400),
        ("7d", 0, 0, 604_800),
    ],
)
def test_a_size_is_messages_bytes_or_a_time(written, messages, nbytes, age_s):
    found = replay_size("replay", written)
    assert (found.messages, found.nbytes, found.age_s) == (messages, nbytes, age_s)
    assert replay_size("replay", str(found)) == found
    assert replay_size("replay", found) is found


@pytest.mark.parametrize(
    "written",
    [
        "",
        "0",
        0,
        -1,
        "-1",
        "1.5",
        1.5,
        True,
        None,
        b"1",
        "many",
        "1 2",
        "0.1s",
        "0.5B",
        "9e3",
        "1EB",
        "s",
        "400d",
        "٣",
        "9" * 30,
    ],
)
def test_anything_else_is_refused_in_one_line(written):
    with pytest.raises(SettingsError) as caught:
        replay_size("--replay", written)
    assert str(caught.value).startswith("--replay: expected a number of messages (100000), of bytes (256MB, 1GiB)")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("written, meant", [("10m", "min for minutes, MB for bytes"), ("1G", "GB or GiB")])
def test_a_unit_that_could_mean_two_things_is_asked_about(written, meant):
    with pytest.raises(SettingsError, match=meant):
        replay_size("replay", written)


@given(st.text(max_size=30))
def test_no_text_does_more_than_be_refused(text):
    try:
        found = replay_size("replay", text)
    except SettingsError:
        return
    assert sum(map(bool, (found.messages, found.nbytes, found.age_s))) == 1


@given(st.integers(1, 2**53))
def test_numbers_are_exact(number):
    assert replay_size("replay", number) == ReplaySize(str(number), messages=number)
    if number < 2**49:
        assert replay_size("replay", f"{number}KiB").nbytes == number * 1024
