"""The pure parts of scripts/bench: names of cases, what was asked for, tables, and verdicts on old and new."""

from __future__ import annotations

import re
from pathlib import Path

import benchlib
import pytest
from benchlib import protocols, wire
from benchlib.against import Verdict, compare, judge, report
from benchlib.arguments import OLD, OLD_AGAIN, UsageError, read_plan, with_old
from benchlib.bars import bar_cases
from benchlib.case import GROUPS, KINDS, PREFIXES, TOPICS, Case, cases, every_case
from benchlib.contender import BY_NAME
from benchlib.schedule import Result, rotated
from benchlib.strangers import ATTACKS, LIBZMQ_MS
from benchlib.table import Spread, spread, table

STREAMER = Case("streamer", 100, 1000)
DEFAULTS = {
    "--quick": False, "--full": False, "--bars": False, "--case": None, "--against": None, "--pattern": None,
    "--size": None, "--hwm": None, "--subscribers": None, "--in-flight": None, "--contender": None, "--rounds": None,
    "--seconds": "1", "--warm-up": "0.5", "--pin": "auto",
}  # fmt: skip


def plan(**options):
    return read_plan(DEFAULTS | {"--" + name.replace("_", "-"): value for name, value in options.items()})


# Cases


def test_every_case_has_a_key_and_a_title_of_its_own():
    found = every_case()
    assert set(found.values()) >= set(cases(KINDS, [16, 100, 1024, 65536, 1048576], [1000, 100000]))
    assert set(found.values()) >= {case for group in GROUPS.values() for case in group}
    assert len({case.name for case in found.values()}) == len(found)
    assert {case.pattern for case in found.values()} == set(KINDS)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)?(-\d+\w+)?-\d+[KM]?-hwm\d+", key) for key in found)


def test_a_case_is_found_by_its_key():
    assert plan(case="streamer-100-hwm1000").cases == [STREAMER]
    assert plan(case="forwarder-1to10-64K-hwm1000").cases == [Case("forwarder", 65536, 1000, peers=10)]
    assert plan(case="queue-64inflight-16-hwm1000").cases == [Case("queue", 16, 1000, in_flight=64)]
    assert plan(case="memory-1M-hwm62").cases == [Case("memory", 1048576, 62)]


def test_the_cases_of_the_bars_can_be_measured_by_name():
    assert set(bar_cases()) <= set(every_case().values())


def test_attacks_stands_for_the_case_of_each_attack_with_one_size_and_one_hwm():
    found = plan(case="attacks").cases
    assert [case.attack for case in found] == list(ATTACKS)
    assert {(case.size, case.hwm, case.in_flight, case.device) for case in found} == {(100, 1000, 1, "queue")}
    assert plan(case="attack-tap-100-hwm1000").cases == [case for case in found if case.attack == "tap"]


def test_every_attack_says_what_it_does_and_has_a_goal():
    assert all(attack.title and attack.goal_ms in (20, LIBZMQ_MS) for attack in ATTACKS.values())
    assert {case.attack for case in bar_cases()} >= set(ATTACKS)


@pytest.mark.parametrize(
    ("scheme", "published", "received"),
    [
        ("tcp", b"\0\x05abcde", b"\0\x05abcde"),
        ("redis", b"*3\r\n$7\r\nPUBLISH\r\n$1\r\nt\r\n$5\r\nabcde\r\n",
         b"*3\r\n$7\r\nmessage\r\n$1\r\nt\r\n$5\r\nabcde\r\n"),
        ("nats", b"PUB t 5\r\nabcde\r\n", b"MSG t 1 5\r\nabcde\r\n"),
    ],
)  # fmt: skip
def test_clients_that_cost_nothing_know_their_protocol(scheme, published, received):
    protocol = protocols.PROTOCOLS[scheme]
    assert protocol.published(b"abcde") == published
    assert protocol.received(b"abcde") == len(received)


def test_the_same_subscriber_always_asks_for_the_same_topics():
    topics = wire.topics_of(7)
    assert topics == wire.topics_of(7) != wire.topics_of(8)
    assert len(set(topics)) == PREFIXES
    assert all(0 <= int(topic) < TOPICS and len(topic) == 3 for topic in topics)


def test_several_cases_keep_their_order_and_come_once():
    keys = ["relay-100-hwm1000", "streamer-100-hwm1000"]
    assert [case.key for case in plan(case=", ".join([*keys, keys[0]])).cases] == keys


def test_the_default_measures_every_pattern_and_full_every_kind():
    assert {case.pattern for case in plan().cases} == {"streamer", "forwarder", "queue", "relay"}
    assert plan(full=True).cases == cases(KINDS, [16, 100, 1024, 65536, 1048576], [1000, 100000])
    assert len(plan(quick=True).cases) == 4


def test_options_narrow_the_cases_down():
    found = plan(pattern="forwarder,queue", size="100", hwm="1000", subscribers="3,4", in_flight="7").cases
    assert [(case.pattern, case.peers, case.in_flight) for case in found] == [
        ("forwarder", 3, 0),
        ("forwarder", 4, 0),
        ("queue", 1, 7),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"case": "streamer-100-hwm100"},
            "--case: expected names that --list shows, got 'streamer-100-hwm100' (did you mean streamer-100-hwm1000?)",
        ),
        ({"case": ""}, "--case: expected names that --list shows, got ''"),
        (
            {"case": "relay-100-hwm1000", "size": "16"},
            "--case: expected no --size beside it, for it names whole cases",
        ),
        (
            {"case": "relay-100-hwm1000", "bars": True},
            "--case: expected no --bars beside it, for it names whole cases",
        ),
        ({"hwm": "1,x"}, "--hwm: expected integers from 1 to 1000000, got '1,x'"),
        ({"rounds": "3,4"}, "--rounds: expected one integer, got '3,4'"),
        ({"rounds": "0"}, "--rounds: expected integers from 1 to 1000, got '0'"),
        ({"seconds": "0"}, "--seconds: expected seconds from 0.05 to 60, got '0'"),
        ({"pin": "x"}, "--pin: expected auto, load, split, one, none, got 'x'"),
        (
            {"against": "HEAD", "contender": "proxy"},
            "--against: expected --contender with one of native, watched, python, zmtp, zmtp-python, got 'proxy'",
        ),
    ],
)
def test_a_wrong_option_is_one_line_that_names_value_and_rule(options, message):
    with pytest.raises(UsageError) as raised:
        plan(**options)
    assert str(raised.value) == message


# Against a commit


def test_against_a_commit_takes_nine_rounds_of_the_native_burst():
    found = plan(against="HEAD~1")
    assert found.rounds == 9
    assert [contender.name for contender in found.contenders] == ["native"]
    assert plan(against="HEAD~1", rounds="3").rounds == 3


def test_old_runs_twice_as_new_does_but_with_its_own_interpreter():
    asked_for = plan(against="HEAD~1", contender="proxy,native").contenders
    found = with_old(asked_for, Path("new"), Path("old"), "0123456789")
    assert [contender.name for contender in found] == ["native", OLD, OLD_AGAIN, "proxy"]
    assert [contender.interpreter for contender in found[:3]] == ["new", "old", "old"]
    assert found[3] is BY_NAME["proxy"]
    for contender in found[:3]:
        assert contender.command is BY_NAME["native"].command
        # Nothing but benchlib: a geventrelay there would be found before the interpreter's own.
        assert [path.name for path in map(Path, contender.environment["PYTHONPATH"].split(":"))] == ["scripts"]


def test_each_contender_is_first_in_turn():
    contenders = [BY_NAME[name] for name in ("native", "proxy", "poll")]
    orders = [[contender.name for contender in rotated(contenders, number)] for number in range(4)]
    assert orders == [
        ["native", "proxy", "poll"], ["proxy", "poll", "native"], ["poll", "native", "proxy"],
        ["native", "proxy", "poll"],
    ]  # fmt: skip
    assert rotated([], 1) == []


@pytest.mark.parametrize(
    ("ratio", "rising", "verdict"),
    [
        (1.0, True, Verdict.CLOSE),
        (0.99, True, Verdict.CLOSE),
        (1.01, False, Verdict.CLOSE),
        (0.98, True, Verdict.SPREAD),
        (1.03, False, Verdict.SPREAD),
        (0.94, True, Verdict.WORSE),
        (1.06, True, Verdict.BETTER),
        (0.94, False, Verdict.BETTER),
        (1.06, False, Verdict.WORSE),
    ],
)
def test_a_difference_counts_beyond_one_per_cent_and_beyond_old_against_old(ratio, rising, verdict):
    assert judge(ratio, Spread(1.0, 0.95, 1.05), rising) is verdict


@pytest.mark.parametrize("rising", [True, False])
@pytest.mark.parametrize("ratio", [0.9, 1.1])
def test_which_of_the_two_old_ones_came_first_does_not_matter(ratio, rising):
    # Old again was slower than old in every round: then old was faster than old again, by as much.
    assert judge(ratio, Spread(0.8, 0.75, 0.85), rising) is Verdict.SPREAD
    assert judge(ratio, Spread(1.2, 1.15, 1.25), rising) is Verdict.SPREAD


def test_a_steady_machine_excuses_nothing():
    assert judge(0.98, Spread(1.0, 1.0, 1.0), True) is Verdict.WORSE


def results(new, old, again):
    """Results of one case from throughputs by round; None is a round that failed."""
    found = {}
    for name, rates in (("native", new), (OLD, old), (OLD_AGAIN, again)):
        samples = {number: {"rate": rate, "cpu_us": 1e6 / rate} for number, rate in enumerate(rates) if rate}
        found[name] = Result(name, by_round=samples)
    return {STREAMER: found}


def test_rounds_are_compared_with_the_same_round():
    # The machine is half as fast in the second round, and new is a tenth slower in both.
    rate, cpu = compare(results([90, 45], [100, 50], [100, 50]), "native", OLD, OLD_AGAIN)
    assert rate.new == Spread(0.9, 0.9, 0.9)
    assert rate.again == Spread(1.0, 1.0, 1.0)
    assert rate.verdict is Verdict.WORSE
    assert cpu.new.median == pytest.approx(1 / 0.9)
    assert cpu.verdict is Verdict.WORSE


def test_a_round_that_failed_is_compared_with_nothing():
    (rate, _cpu) = compare(results([None, 50, 50], [100, 50, None], [100, 50, 50]), "native", OLD, OLD_AGAIN)
    assert rate.new == Spread(1.0, 1.0, 1.0)


def test_the_report_names_what_was_not_compared_and_what_is_no_more_than_a_hint():
    found = results([90], [100], [101]) | {Case("relay", 100, 1000): {}}
    text = report(compare(found, "native", OLD, OLD_AGAIN), found, "0123456789 Subject")
    assert text.splitlines()[0].startswith("Against 0123456789 Subject: ")
    assert re.search(r"streamer-100-hwm1000 +throughput +0\.900 +0\.900-0\.900 +1\.010 +1\.010-1\.010 +WORSE", text)
    assert re.search(r"^ +CPU per message +1\.111 .* WORSE$", text, re.MULTILINE)
    assert "no round measured new and old: relay-100-hwm1000." in text
    assert "With less than 9 rounds (here 1), a verdict is no more than a hint." in text
    assert "Other programs" not in text


def test_the_report_says_that_other_programs_were_busy():
    found = results([90] * 9, [100] * 9, [100] * 9)
    found[STREAMER][OLD].by_round[3]["others_cores"] = 0.5
    text = report(compare(found, "native", OLD, OLD_AGAIN), found, "0123456789 Subject")
    assert "Other programs took up to 0.50 of a core in a measured window." in text
    assert "hint" not in text


# Tables


def test_a_spread_is_median_least_and_most():
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    assert Spread(2.0, 1.0, 3.0).width == 1.0


def test_a_table_shows_medians_ratios_and_failures():
    found = {
        "native": Result("ours", by_round={0: {"rate": 200.0}, 1: {"rate": 220.0}}),
        "proxy": Result("theirs", by_round={0: {"rate": 100.0}}, failures=["no message came through within 8 s"]),
    }
    lines = table(STREAMER, found).splitlines()
    assert lines[0] == "streamer, 100 B, HWM 1000"
    assert re.search(r"messages/s +min-max +x proxy", lines[1])
    assert re.search(r"ours +210 +200-220 +2\.10", lines[3])
    assert lines[5] == "  theirs: 1 round(s) failed: no message came through within 8 s"


def test_the_readme_of_benchlib_names_every_module():
    folder = Path(benchlib.__file__).parent
    text = (folder / "README.rst").read_text()
    sources = {path.name for path in folder.iterdir() if path.suffix in (".py", ".c")} - {"__init__.py"}
    assert sources == set(re.findall(r"``(\w+\.(?:py|c))``", text))
