"""What a subscriber without gaps decides, without sockets; and that it loads no gevent."""

from __future__ import annotations

import subprocess
import sys
from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.gapless import ModelLog, ModelPort, matches

from geventrelay.client.arguments import prefixes, seconds, start
from geventrelay.client.events import Lost, Message, Position
from geventrelay.client.gapless import LONGEST_WAIT_S, Gapless, Renew
from geventrelay.errors import GaplessError, SettingsError
from geventrelay.retention.replay_wire import (
    MOST_PREFIXES,
    EndAnswer,
    ErrorAnswer,
    Fetch,
    Head,
    HeadAnswer,
    LostAnswer,
    MessageAnswer,
    number_bytes,
    read_request,
)

LOADS_NO_GEVENT_AND_NO_SERVER = """
import sys
import geventrelay.client
loaded = [name for name in sys.modules if name.partition(".")[0] in ("gevent", "greenlet") or name == "zmq.green"]
assert not loaded, loaded
folders = {name.split(".")[1] for name in sys.modules if name.startswith("geventrelay.")}
assert folders == {"client", "errors", "retention", "settings"}, folders
subscriber = geventrelay.client.GaplessSubscriber("tcp://127.0.0.1:1", "tcp://127.0.0.1:1")
subscriber.close()
assert "gevent" not in sys.modules
"""


@pytest.mark.slow
def test_the_client_loads_no_gevent_and_nothing_of_a_server():
    program = [sys.executable, "-W", "error", "-c", LOADS_NO_GEVENT_AND_NO_SERVER]
    done = subprocess.run(program, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


class Stand:
    """A subscriber at a log, with both ways in between: what is under way, and what was lost there."""

    def __init__(self, log, *prefixes, start="now", **times):
        self.log, self.now, self.port = log, 0.0, ModelPort()
        self.live, self.answers, self.renewed = deque(), deque(), []
        self.prefixes = prefixes
        self.gapless = Gapless(prefixes, start, self.now, **times)
        self.reachable = True
        self.asked = []
        self.act()

    def act(self):
        for action in self.gapless.actions():
            if action is Renew.SUB:
                self.live.clear()
            elif action is Renew.REPLAY:
                self.cut()
            else:
                self.asked.append(read_request(action))
                if self.reachable:
                    self.port.ask(self.log, self.asked[-1])
            if isinstance(action, Renew):
                self.renewed.append(action)

    def cut(self):
        self.port = ModelPort()
        self.answers.clear()

    def publish(self, *parts, arrives=True):
        message = self.log.publish(*parts)
        if arrives and matches(parts, self.prefixes):
            self.live.append(message)

    def hear(self, count=1):
        for _ in range(min(count, len(self.live))):
            self.gapless.on_live(self.live.popleft(), self.now)
            self.act()

    def answer(self, count=1):
        for _ in range(count):
            answer = self.answers.popleft() if self.answers else self.port.next_answer()
            if answer is None:
                return False
            self.gapless.on_answer(answer, self.now)
            self.act()
        return True

    def tick(self, seconds=0.0):
        self.now += seconds
        due = self.gapless.tick(self.now)
        self.act()
        return due

    def events(self):
        found = []
        while self.gapless.has_event:
            found.append(self.gapless.take_event())
        return found

    def settle(self):
        """All that is under way arrives, and all that is asked for."""
        while self.live or self.answer():
            self.hear()
        return self.events()


def numbers(events):
    return [(event.first, event.end) if isinstance(event, Lost) else event.number for event in events]


@pytest.fixture
def stand():
    """One that has started, with nothing under way."""
    made = Stand(ModelLog(100))
    assert made.settle() == []
    return made


def test_it_begins_with_what_is_published_from_now_on():
    log = ModelLog(100)
    log.publish(b"before")
    stand = Stand(log)
    assert not stand.gapless.started
    assert stand.gapless.position is None
    stand.answer()
    assert stand.gapless.started
    assert stand.gapless.position == Position(log.epoch, 101)
    stand.publish(b"a", b"1")
    assert stand.settle() == [Message(101, [b"a", b"1"])]
    assert stand.gapless.position == Position(log.epoch, 102)


def test_it_begins_with_the_oldest():
    log = ModelLog(100)
    for _ in range(5):
        log.publish(b"before")
    log.forget_before(103)
    assert numbers(Stand(log, start="oldest").settle()) == [103, 104]


def test_it_begins_at_a_position_of_this_life():
    log = ModelLog(100)
    for _ in range(5):
        log.publish(b"before")
    log.forget_before(102)
    stand = Stand(log, start=(log.epoch, 101))
    stand.answer(2)
    assert stand.gapless.position == Position(log.epoch, 101)
    assert numbers(stand.settle()) == [(101, 102), 102, 103, 104]


def test_it_begins_with_the_oldest_of_this_life_at_a_position_of_another():
    log = ModelLog(100)
    log.publish(b"before")
    stand = Stand(log, start=(bytes(16), 7))
    assert stand.settle() == [Lost(7, 100, epoch_changed=True), Message(100, [b"before"])]


def test_a_position_that_this_life_has_not_reached_is_an_error():
    log = ModelLog(100)
    with pytest.raises(GaplessError, match="start: expected a number up to 100, the next of this epoch, got 101"):
        Stand(log, start=(log.epoch, 101)).settle()


def test_a_hole_is_fetched_with_one_request_and_the_message_behind_it_is_kept(stand):
    for number in range(5):
        stand.publish(b"%d" % number, arrives=number in (0, 4))
    assert numbers(stand.settle()) == [100, 101, 102, 103, 104]
    assert [(one.first, one.last) for one in stand.asked if isinstance(one, Fetch)] == [(101, 103)]


def test_of_what_comes_live_meanwhile_the_newest_is_kept_and_the_others_are_fetched(stand):
    for number in range(10):
        stand.publish(b"%d" % number, arrives=number not in (0, 7))
    stand.hear(10)
    assert stand.gapless.catching_up
    assert numbers(stand.settle()) == list(range(100, 110))
    assert [(one.first, one.last) for one in stand.asked if isinstance(one, Fetch)] == [(100, 100), (102, 108)]
    assert not stand.gapless.catching_up


def test_what_does_not_match_is_a_hole_that_the_log_closes():
    stand = Stand(ModelLog(100), b"a", b"b")
    stand.settle()
    for topic in (b"x", b"a", b"x", b"x", b"b", b"x"):
        stand.publish(topic)
    assert numbers(stand.settle()) == [101, 104]
    assert stand.gapless.position.number == 105
    stand.tick(1.0)
    assert stand.settle() == []
    assert stand.gapless.position.number == 106
    assert stand.asked[-1] == Fetch(stand.asked[-1].tag, stand.log.epoch, 105, 105, (b"a", b"b"))


def test_an_empty_prefix_is_everything():
    stand = Stand(ModelLog(100), b"a", b"")
    stand.settle()
    stand.publish(b"x", arrives=False)
    stand.tick(1.0)
    assert numbers(stand.settle()) == [100]
    assert stand.asked[-1].prefixes == ()


@pytest.mark.parametrize(
    "prefixes", [[b"a%d:" % number for number in range(MOST_PREFIXES + 1)], [b"a" * 20_000, b"b" * 20_000, b"a1:"]]
)
def test_with_more_prefixes_than_a_request_may_have_it_asks_for_all_and_hands_out_what_matches(prefixes):
    stand = Stand(ModelLog(100), *prefixes)
    stand.settle()
    for topic in (b"x", b"a1:", b"a1000:", b"x"):
        stand.publish(topic, arrives=False)
    stand.tick(1.0)
    assert stand.settle() == [Message(101, [b"a1:"])]
    assert stand.asked[-1].prefixes == ()
    assert stand.gapless.position.number == 104


def test_a_lost_tail_is_noticed_when_it_is_quiet(stand):
    stand.publish(b"lost", arrives=False)
    assert stand.tick() == 1.0
    assert stand.settle() == []
    stand.tick(1.0)
    assert numbers(stand.settle()) == [100]


def test_what_the_log_has_forgotten_is_reported_with_its_numbers(stand):
    for number in range(6):
        stand.publish(b"%d" % number, arrives=number == 5)
    stand.log.forget_before(103)
    assert stand.settle() == [Lost(100, 103), *(Message(n, [b"%d" % (n - 100)]) for n in (103, 104, 105))]


def test_a_live_message_is_handed_out_though_the_log_has_forgotten_it(stand):
    stand.publish(b"lost", arrives=False)
    stand.publish(b"larger than the log")
    stand.log.forget_before(102)
    assert stand.settle() == [Lost(100, 101), Message(101, [b"larger than the log"])]


def test_a_loss_beyond_what_was_asked_for_is_not_taken_for_what_has_come_live(stand):
    stand.publish(b"lost", arrives=False)
    stand.publish(b"here")
    stand.hear()
    stand.gapless.on_answer(LostAnswer(stand.asked[-1].tag, 100, 102).frames(), stand.now)
    stand.gapless.on_answer(EndAnswer(stand.asked[-1].tag, stand.log.epoch, 101).frames(), stand.now)
    assert stand.events() == [Lost(100, 101), Message(101, [b"here"])]


def test_what_comes_twice_is_handed_out_once_and_asks_for_the_epoch_once(stand):
    for number in range(3):
        stand.publish(b"%d" % number)
    again = list(stand.live)
    assert numbers(stand.settle()) == [100, 101, 102]
    stand.live.extend(again)
    asked = len(stand.asked)
    assert stand.settle() == []
    assert [type(one) for one in stand.asked[asked:]] == [Head]


def test_a_new_life_is_noticed_by_a_hole_and_begins_with_its_oldest(stand):
    stand.publish(b"old")
    stand.settle()
    stand.log = ModelLog(1000)
    stand.publish(b"new", arrives=False)
    stand.publish(b"new")
    assert stand.settle() == [Lost(101, 1000, epoch_changed=True), *(Message(n, [b"new"]) for n in (1000, 1001))]
    assert stand.renewed == []


def test_a_new_life_is_noticed_when_it_is_quiet(stand):
    stand.log = ModelLog(1000)
    stand.tick(1.0)
    assert stand.settle() == [Lost(100, 1000, epoch_changed=True)]
    assert stand.gapless.position == Position(stand.log.epoch, 1000)


def test_a_new_life_with_lower_numbers_is_noticed_and_what_is_left_of_the_old_one_is_thrown_away(stand):
    stand.publish(b"old")
    stand.settle()
    stand.publish(b"old, and still under way")
    stand.log = ModelLog(10)
    stand.publish(b"new")
    stand.tick(1.0)
    stand.answer(1)
    assert stand.renewed == [Renew.SUB]
    assert stand.settle() == [Lost(101, 10, epoch_changed=True), Message(10, [b"new"])]


def test_numbers_that_go_back_ask_for_the_epoch_at_once(stand):
    stand.publish(b"old")
    stand.settle()
    stand.log = ModelLog(10)
    stand.publish(b"new")
    assert stand.settle() == [Lost(101, 10, epoch_changed=True), Message(10, [b"new"])]


def test_an_answer_that_does_not_come_is_asked_for_again_over_a_new_connection(stand):
    for number in range(4):
        stand.publish(b"%d" % number, arrives=number == 3)
    stand.hear()
    stand.answer(1)
    stand.cut()
    assert stand.tick(1.9) == 2.0
    assert stand.renewed == []
    stand.tick(0.2)
    assert stand.renewed == [Renew.REPLAY]
    assert (stand.asked[-1].first, stand.asked[-1].last) == (101, 102)
    assert numbers(stand.settle()) == [100, 101, 102, 103]


def test_an_answer_of_which_only_the_end_was_lost_is_not_asked_for_again(stand):
    for number in range(3):
        stand.publish(b"%d" % number, arrives=number == 2)
    stand.hear()
    stand.answer(2)
    stand.cut()
    asked = len(stand.asked)
    stand.tick(2.0)
    assert len(stand.asked) == asked
    assert numbers(stand.events()) == [100, 101, 102]
    assert not stand.gapless.catching_up


def test_an_answer_to_an_earlier_request_is_ignored(stand):
    for number in range(3):
        stand.publish(b"%d" % number, arrives=number == 2)
    stand.hear()
    tag = stand.asked[-1].tag
    stand.tick(2.0)
    stand.gapless.on_answer(MessageAnswer(tag, 101, (b"late",)).frames(), stand.now)
    stand.gapless.on_answer(EndAnswer(tag, stand.log.epoch, 102).frames(), stand.now)
    assert numbers(stand.settle()) == [100, 101, 102]


def test_the_wait_for_an_answer_doubles_up_to_a_longest_one_and_begins_anew_with_an_answer(stand):
    stand.reachable = False
    due, waits = stand.tick(1.0), []
    for _ in range(6):
        waits.append(due - stand.now)
        due = stand.tick(due - stand.now)
    assert waits == [2.0, 4.0, 8.0, LONGEST_WAIT_S, LONGEST_WAIT_S, LONGEST_WAIT_S]
    stand.reachable = True
    stand.tick(due - stand.now)
    assert stand.settle() == []
    stand.reachable = False
    due = stand.tick(1.0)
    assert due - stand.now == 2.0


def test_a_piece_of_an_answer_gives_the_next_one_time(stand):
    for number in range(10):
        stand.publish(b"%d" % number, arrives=number == 9)
    stand.hear()
    for _ in range(9):
        stand.tick(1.9)
        stand.answer()
    assert stand.renewed == []


def test_no_answer_ever_is_an_error_that_names_the_rule():
    stand = Stand(ModelLog(1), start_s=3.0)
    stand.reachable = False
    stand.cut()
    assert stand.tick() == 2.0
    with pytest.raises(
        GaplessError, match="replay_endpoint: expected a relay with --replay-port, got no answer within"
    ):
        stand.tick(3.0)
    # It may go on, and has the same time again.
    assert stand.tick(2.9) <= stand.now + 2.0
    stand.reachable = True
    stand.tick(2.0 if stand.now < 5.5 else 0.05)


def test_without_a_limit_it_waits_for_the_first_answer_for_ever():
    stand = Stand(ModelLog(1), start_s=None)
    stand.cut()
    stand.reachable = False
    for _ in range(100):
        stand.tick(100.0)
    stand.reachable = True
    stand.tick(100.0)
    assert stand.settle() == []
    assert stand.gapless.started


def test_a_relay_that_does_not_stamp_is_an_error_at_the_beginning_and_later(stand):
    text = "sub_endpoint: expected a relay with --stamp"
    with pytest.raises(GaplessError, match=text):
        Stand(ModelLog(1, stamped=False)).settle()
    stand.log = ModelLog(1000, stamped=False)
    stand.gapless.on_live([b"no stamp"], stand.now)
    stand.gapless.on_live([b"no", b"stamp"], stand.now)
    stand.tick(1.0)
    with pytest.raises(GaplessError, match=text):
        stand.settle()
    # It asks again: the relay may have been started with the option by then.
    stand.log = ModelLog(2000)
    stand.tick(1.0)
    assert stand.settle() == [Lost(100, 2000, epoch_changed=True)]


def test_a_refusal_is_an_error_with_its_text(stand):
    stand.tick(1.0)
    with pytest.raises(GaplessError, match="the replay port refuses to answer: too many requests"):
        stand.gapless.on_answer(ErrorAnswer(stand.asked[-1].tag, "too many requests").frames(), stand.now)


@pytest.mark.parametrize("frames", [[b"hello"], [b"GR02", b"", b"HEAD"], [b"GR01", b"", b"WHAT"]])
def test_what_is_no_answer_of_a_replay_port_is_an_error(stand, frames):
    with pytest.raises(GaplessError, match="replay_endpoint: expected the answer of a replay port, got another: "):
        stand.gapless.on_answer(frames, stand.now)


def test_a_number_that_no_log_has_is_no_stamp(stand):
    stand.gapless.on_live([b"a", b"\xff" * 8], stand.now)
    assert not stand.gapless.catching_up


def test_numbers_of_another_log_hand_out_what_is_in_the_log_alone(stand):
    stand.gapless.on_live([b"of another", number_bytes(500)], stand.now)
    assert stand.settle() == []
    assert stand.gapless.position.number == 100


def test_a_head_that_is_newer_than_what_has_come_live_wins(stand):
    """What the log has is fetched, though it may be under way; then it is handed out once."""
    stand.publish(b"0")
    stand.tick(1.0)
    stand.answer()
    stand.hear()
    assert numbers(stand.settle()) == [100]


def test_a_hole_while_the_log_is_asked_waits_for_the_answer(stand):
    stand.tick(1.0)
    for number in range(4):
        stand.publish(b"%d" % number, arrives=number in (1, 3))
    stand.hear(2)
    assert isinstance(stand.asked[-1], Head)
    # The answer is older than what has come meanwhile.
    head = HeadAnswer(stand.asked[-1].tag, stand.log.epoch, 100, 100, stamped=True)
    stand.gapless.on_answer(head.frames(), stand.now)
    stand.act()
    assert (stand.asked[-1].first, stand.asked[-1].last) == (100, 102)
    assert numbers(stand.settle()) == [100, 101, 102, 103]


# Arguments


def test_arguments_are_checked():
    assert prefixes(["ä", b"b"]) == ("ä".encode(), b"b")
    assert start(Position(bytes(16), 5)) == (bytes(16), 5)
    for wrong in ("later", (b"short", 5), (bytes(16), -1), (bytes(16), True), (bytes(16), 2**63), 5, None, ["now"]):
        with pytest.raises(SettingsError, match='start: expected "now", "oldest" or a position'):
            start(wrong)
    for wrong in (0, -1, float("nan"), float("inf"), True, "1", 100_000):
        with pytest.raises(SettingsError, match="quiet_s: expected a number above 0, up to 86400"):
            seconds("quiet_s", wrong)
    with pytest.raises(SettingsError, match="prefixes: expected text or bytes, got 5"):
        prefixes(["a", 5])


# Everything at once


class GaplessAgainstModel(RuleBasedStateMachine):
    """Each message is handed out once, in order, or is said to be lost where the log has forgotten it."""

    @initialize(
        prefixes=st.sampled_from([(), (b"a",), (b"a", b"b"), (b"c",), (b"a", b"")]),
        start=st.sampled_from(["now", "oldest"]),
    )
    def begin(self, prefixes, start):
        self.bases = iter(range(1_000_000, 0, -10_000))
        self.lives = {}
        log = self.new_log(2_000_000)
        self.prefixes = prefixes
        self.stand = Stand(log, *prefixes, start=start)
        self.due = None

    def new_log(self, first):
        log = ModelLog(first)
        self.lives[log.epoch] = log
        return log

    @rule(topics=st.lists(st.tuples(st.sampled_from([b"a", b"ab", b"b", b"c"]), st.booleans()), min_size=1, max_size=6))
    def publish(self, topics):
        for topic, arrives in topics:
            self.stand.publish(topic, b"%d" % self.stand.log.next, arrives=arrives)

    @rule(count=st.integers(1, 6))
    def hear(self, count):
        self.stand.hear(count)

    @rule(count=st.integers(1, 6))
    def answer(self, count):
        self.stand.answer(count)

    @rule(seconds=st.sampled_from([0.0, 0.3, 1.0, 2.0, 20.0]))
    def tick(self, seconds):
        self.patient(lambda: self.stand.tick(seconds))

    def patient(self, call):
        try:
            call()
        except GaplessError as error:
            assert "got no answer" in str(error)
            self.stand.act()

    @rule()
    def the_answer_is_lost(self):
        self.stand.cut()

    @rule(reachable=st.booleans())
    def the_way_to_the_port(self, reachable):
        self.stand.reachable = reachable
        self.stand.cut()

    @rule(count=st.integers(1, 8))
    def the_log_forgets(self, count):
        self.stand.log.forget_before(self.stand.log.oldest + count)

    @precondition(lambda self: self.stand.log.published)
    @rule(count=st.integers(1, 4))
    def messages_come_again(self, count):
        """As last values do, when a connection to a device was lost."""
        log = self.stand.log
        for number in range(max(log.first, log.next - count), log.next):
            if matches(log[number], self.prefixes):
                self.stand.live.append([*log[number], number_bytes(number)])

    @rule(back=st.booleans(), under_way=st.booleans())
    def the_device_begins_anew(self, back, under_way):
        highest = max(log.next for log in self.lives.values())
        if not under_way:
            self.stand.live.clear()
        self.stand.cut()
        self.stand.log = self.new_log(next(self.bases) if back else highest + 1_000)

    @invariant()
    def what_is_handed_out_is_right(self):
        if not hasattr(self, "stand") or not self.stand.gapless.started:
            return
        if self.due is None:
            position = self.stand.gapless.position
            self.due = (self.lives[position.epoch], position.number)
        while self.stand.gapless.has_event:
            event = self.stand.gapless.take_event()
            self.take(event)

    def take(self, event):
        log, due = self.due
        if isinstance(event, Message):
            self.nothing_matches(log, due, event.number)
            assert event.parts == log[event.number]
            assert matches(event.parts, self.prefixes)
            self.due = log, event.number + 1
        elif event.epoch_changed:
            self.nothing_matches(log, due, event.first)
            # The numbers of no two lives are the same.
            (new,) = (one for one in self.lives.values() if one.first <= event.end <= one.next)
            assert new is not log
            assert event.end <= new.oldest
            self.due = new, event.end
        else:
            self.nothing_matches(log, due, event.first)
            assert event.first < event.end <= log.oldest
            self.due = log, event.end
        if not self.stand.gapless.has_event:
            position = self.stand.gapless.position
            assert position.epoch == self.due[0].epoch
            self.nothing_matches(self.due[0], self.due[1], position.number)

    def nothing_matches(self, log, first, end):
        """What is passed over without a word does not begin with the prefixes."""
        assert first <= end <= log.next
        assert not any(matches(log[number], self.prefixes) for number in range(first, end))

    def teardown(self):
        """When all is well again, nothing is missing."""
        if not hasattr(self, "stand"):
            return
        self.stand.reachable = True
        for _ in range(10):
            while self.stand.live or self.stand.answer():
                self.stand.hear()
            self.patient(lambda: self.stand.tick(LONGEST_WAIT_S))
        assert self.stand.gapless.started
        self.what_is_handed_out_is_right()
        assert self.stand.gapless.position == Position(self.stand.log.epoch, self.stand.log.next)


TestGaplessAgainstModel = pytest.mark.slow(GaplessAgainstModel.TestCase)
TestGaplessAgainstModel.settings = settings(max_examples=300, stateful_step_count=40)
