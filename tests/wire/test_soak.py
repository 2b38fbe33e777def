"""The legs of `scripts/soak`, a little of each: none lost, none twice, in order, and what else they check."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from benchlib.strangers import ATTACKS
from soaklib import endurance, strangers
from soaklib.churn import Account, Seen, faults

SOAK = Path(__file__).parents[2] / "scripts" / "soak"
MESSAGES = int(os.environ.get("GEVENTRELAY_TEST_MESSAGES", "20000"))


def soak(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(SOAK), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=55 + MESSAGES / 10_000)


@pytest.mark.slow
@pytest.mark.timeout(60 + MESSAGES / 10_000)
@pytest.mark.parametrize("pattern", ["streamer", "queue"])
def test_what_arrives_has_the_hash_of_what_was_sent(pattern):
    done = soak(pattern, f"--messages={MESSAGES}")
    assert done.returncode == 0, done.stderr
    assert f"{pattern}: {MESSAGES} messages in " in done.stdout
    assert "none lost, none twice, in order" in done.stdout


@pytest.mark.slow
def test_without_a_leg_the_quick_ones_run():
    done = soak("--messages=100", "--burst=python")
    assert done.returncode == 0, done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines() if "none lost" in line] == ["streamer", "queue"]


@pytest.mark.slow
def test_workers_that_stay_get_all_that_was_pushed():
    # No longer than it has to be: in the last 5 seconds no worker leaves.
    done = soak("churn", "--seconds=5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 were queued for the 0 workers that left" in done.stdout
    assert "all is well" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("argument", "named"),
    [
        ("--messages=0", "--messages"),
        ("--size=19", "--size"),
        ("--sources=x", "--sources"),
        ("--burst=fast", "--burst"),
        ("forwarder", "LEG"),
        ("churn", "--seconds"),
        ("endurance", "--seconds"),
    ],
)
def test_a_wrong_argument_is_refused_by_name(argument, named):
    done = soak(argument)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert named in done.stderr


# What the leg churn finds

WELL = Seen(pushed=1000, got=1000, left=0, waits=[0.01], memory_mb=[20.0, 30.0, 30.0, 30.0, 30.0])


def seen(**changes):
    return Seen(**{name: getattr(WELL, name) for name in Seen.__slots__} | changes)


@pytest.mark.parametrize(
    ("clients", "account", "wrong"),
    [
        (WELL, (1000, 1000, 0), []),
        (seen(got=990), (1000, 990, 10), []),
        (seen(left=1, got=0), (1000, 1000, 0), []),
        (
            WELL,
            (999, 999, 0),
            ["the streamer did not receive what was pushed", "more is missing than workers can have taken along"],
        ),
        (WELL, (1000, 1000, 1), ["its accounting does not add up"]),
        (seen(got=999), (1000, 1000, 0), ["more is missing than workers can have taken along"]),
        (seen(left=1, pushed=9000, got=3999), (9000, 9000, 0), ["more is missing than workers can have taken along"]),
        (seen(waits=[0.1, 1.1]), (1000, 1000, 0), ["a request waited too long"]),
        (seen(waits=[]), (1000, 1000, 0), ["no request was answered"]),
        (seen(memory_mb=[20.0, 30.0, 30.0, 30.0, 38.1]), (1000, 1000, 0), ["memory grew"]),
    ],
)
def test_churn_names_each_fault(clients, account, wrong):
    assert faults(clients, Account(*account)) == wrong


# What the leg strangers finds

UNHARMED = strangers.Seen(
    waits=[0.01], lost=0, twice=0, attacks=dict.fromkeys(ATTACKS, 1), exit_code=0, trouble=[], memory_mb=(40, 400, 140)
)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, []),
        ({"lost": 2}, ["2 requests were lost"]),
        ({"twice": 1}, ["1 requests were answered twice"]),
        ({"waits": []}, ["no request was answered"]),
        ({"attacks": dict.fromkeys(ATTACKS, 1) | {"tap": 0}}, ["attacks did nothing: tap"]),
        ({"exit_code": -11}, ["the server ended with -11"]),
        ({"exit_code": None}, ["the server ended with None"]),
        ({"trouble": ["Traceback (most recent call last):"]}, ["the log has: ['Traceback (most recent call last):']"]),
        ({"memory_mb": (40, 400, 141)}, ["memory did not come back"]),
    ],
)
def test_strangers_names_each_fault(changes, wrong):
    assert strangers.faults(replace(UNHARMED, **changes)) == wrong


def test_strangers_may_cause_warnings_but_no_traceback_and_no_device_that_fails():
    warnings = ["2026-01-01T00:00:00 WARNING refused socket=http", "WARNING dropped device=a"]
    assert strangers.trouble(warnings) == []
    bad = ["Traceback (most recent call last):", "ERROR failed device=a", "WARNING starting-again device=a in=1s"]
    assert strangers.trouble([*warnings, *bad]) == bad


# What the leg endurance finds

ACCOUNT = {
    "device": "relay", "socket": "pub", "received": 9, "sent": {"messages": 8}, "dropped": {"no_peer": 1},
    "sent_by_clients": 9, "got_by_clients": 8, "matched": 20, "delivered": 15, "lost": {"slow": 3}, "waiting": 2,
}  # fmt: skip
ENDURED = endurance.Seen(
    happened={"come": 2}, wrong=[], accounts=[ACCOUNT], memory_mb=[20.0, 30.0, 30.0, 30.0, 38.0], descriptors=(40, 42),
    unanswered=1, exit_code=0, trouble=[],
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, []),
        ({"accounts": [ACCOUNT | {"matched": None, "got_by_clients": None, "sent_by_clients": None}]}, []),
        ({"accounts": [ACCOUNT | {"dropped": {}}]}, ["relay pub: 9 received, 8 sent and 0 dropped"]),
        ({"accounts": [ACCOUNT | {"sent_by_clients": 10}]}, ["relay pub: 9 received of 10"]),
        ({"accounts": [ACCOUNT | {"got_by_clients": 7}]}, ["relay pub: 7 got of 8"]),
        (
            {"accounts": [ACCOUNT | {"lost": {}}]},
            ["relay pub: 20 matched, 15 delivered, {} lost, 2 waiting"],
        ),
        ({"wrong": ["Reader: gone"]}, ["Reader: gone"]),
        ({"descriptors": (40, 43)}, ["40 descriptors became 43"]),
        ({"memory_mb": [20.0, 30.0, 30.0, 30.0, 38.1]}, ["memory grew"]),
        ({"unanswered": 5}, ["5 requests had no reply"]),
        ({"exit_code": 1}, ["the server ended with 1"]),
        ({"trouble": ["Traceback"]}, ["the log has: ['Traceback']"]),
    ],
)
def test_endurance_names_each_fault(changes, wrong):
    assert endurance.faults(replace(ENDURED, **changes)) == wrong
