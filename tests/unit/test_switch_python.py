"""The pure parts of the core in Python against naive models: pieces of runs, what waits for a peer, topics."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from geventrelay.switch.core_python.account import Kept
from geventrelay.switch.core_python.queue import Queue
from geventrelay.switch.core_python.run import Run
from geventrelay.switch.core_python.topics import Topics
from geventrelay.zmtp import frames

PARTS = st.lists(st.sampled_from([b"", b"a", b"bb" * 100, b"c" * 300]), min_size=1, max_size=3)
MESSAGES = st.lists(PARTS, min_size=1, max_size=5)


@given(messages=MESSAGES, data=st.data())
@settings(max_examples=50)
def test_a_piece_of_a_run_is_as_if_made_of_its_messages(messages, data):
    run = Run.of(messages, 0.0)
    first = data.draw(st.integers(0, len(messages) - 1))
    last = data.draw(st.integers(first + 1, len(messages)))
    indices = sorted(data.draw(st.sets(st.integers(0, len(messages) - 1), min_size=1)))
    for found, expected in (
        (run.piece(first, last), messages[first:last]),
        (run.pick(indices), [messages[index] for index in indices]),
    ):
        assert found.data == b"".join(map(frames.encode_message, expected))
        assert [found.parts_of(index) for index in range(len(found))] == expected
        assert found.parts == sum(map(len, expected))
        assert found.body_bytes == sum(len(part) for parts in expected for part in parts)
    assert run.bodies_of(first, last) == sum(len(part) for parts in messages[first:last] for part in parts)


@given(messages=MESSAGES, first=st.sampled_from([0, 1, 2**53, 2**64 - 9]))
@settings(max_examples=50)
def test_a_stamped_run_is_as_if_made_of_its_messages_with_their_numbers(messages, first):
    numbers = [number.to_bytes(8, "big") for number in range(first, first + len(messages))]
    expected = Run.of([[*parts, number] for parts, number in zip(messages, numbers, strict=True)], 0.0)
    found = Run.of(messages, 0.0).stamped(first)
    assert (found.data, found.ends) == (expected.data, expected.ends)
    assert (found.parts, found.head_bytes) == (expected.parts, expected.head_bytes)


class NaiveQueue:
    """Messages one by one; `written` of the first are written."""

    def __init__(self) -> None:
        self.messages: list[tuple[float, bytes]] = []
        self.written = 0

    def advance(self, nbytes: int) -> int:
        self.written += nbytes
        done = 0
        while self.messages and self.written >= len(self.messages[0][1]):
            self.written -= len(self.messages.pop(0)[1])
            done += 1
        return done

    def drop(self, which: list[int]) -> int:
        self.messages = [one for index, one in enumerate(self.messages) if index not in which]
        return len(which)

    def droppable(self) -> list[int]:
        return list(range(bool(self.written), len(self.messages)))


@given(data=st.data(), v1_0=st.booleans())
@settings(max_examples=60)
def test_a_queue_forgets_whole_messages_and_writes_the_others_in_their_order(data, v1_0):
    queue, model = Queue(Kept()), NaiveQueue()
    queue.change_encoding(v1_0=v1_0)
    for now in range(data.draw(st.integers(1, 25))):
        match data.draw(st.sampled_from(["put", "put", "write", "write", "oldest", "older", "rewind", "clear"])):
            case "put":
                messages = data.draw(MESSAGES)
                queue.put(Run.of(messages, float(now)))
                model.messages += [(now, frames.encode_message(parts, v1_0=v1_0)) for parts in messages]
            case "write":
                waiting = sum(len(one) for _, one in model.messages) - model.written
                nbytes = data.draw(st.integers(0, waiting))
                assert queue.advance(nbytes) == model.advance(nbytes)
            case "oldest":
                most = data.draw(st.integers(1, 6))
                assert queue.drop_oldest(most) == model.drop(model.droppable()[:most])
            case "older":
                than = data.draw(st.integers(0, 25))
                old = [index for index in model.droppable() if model.messages[index][0] < than]
                assert queue.drop_older(than) == model.drop(old)
            case "rewind":
                queue.rewind()
                model.written = 0
            case "clear" if data.draw(st.booleans()):
                assert queue.clear() == len(model.messages)
                model = NaiveQueue()
        expected = b"".join(one for _, one in model.messages)[model.written :]
        assert b"".join(queue.buffers(1000)) == expected
        assert queue.messages == len(model.messages)
        assert queue.unwritten == (len(model.messages[0][1]) - model.written if model.written else 0)
        if not v1_0:
            assert queue.nbytes == sum(len(one) for _, one in model.messages)


TOPIC = st.text("ab", max_size=5).map(str.encode)


@given(data=st.data())
@settings(max_examples=60)
def test_topics_match_as_a_list_of_prefixes_does(data):
    topics: Topics[int] = Topics()
    wanted: dict[tuple[bytes, int], object] = {}
    for _ in range(data.draw(st.integers(1, 30))):
        topic, member = data.draw(TOPIC), data.draw(st.integers(0, 3))
        if (topic, member) in wanted:
            topics.remove(wanted.pop((topic, member)), member)
        else:
            wanted[topic, member] = topics.add(topic, member)
        head = data.draw(TOPIC)
        found = topics.match(b"x" + head + b"x", 1, 1 + len(head))
        assert set(found) == {member for topic, member in wanted if head.startswith(topic)}
        assert len(found) == len(set(found))
        assert topics.match(head, 0, len(head)) is found
        assert (head in topics) == any(topic == head for topic, _ in wanted)
    assert topics.only_everything == all(topic == b"" for topic, _ in wanted)


def test_a_topic_with_thousands_of_prefixes_is_walked_without_recursion():
    topics: Topics[int] = Topics()
    nodes = [topics.add(b"x" * length, length) for length in range(1200)]
    assert len(topics.match(b"x" * 2000, 0, 2000)) == 1200
    for member, node in enumerate(nodes):
        topics.remove(node, member)
    assert topics.only_everything
