"""A watcher that subscribes and cancels without a pause leaves nothing behind at the tap."""

from __future__ import annotations

import itertools

from support.strangers import frame, stranger

from geventrelay import Streamer
from geventrelay.components.tap import Tap
from geventrelay.testing import LOCAL, eventually, within


def test_of_a_flood_of_subscriptions_the_tap_keeps_those_alone_that_concern_a_pump(run):
    device = run(Streamer(frontend=LOCAL, backend=LOCAL, tap=LOCAL))
    (tap,) = (one for one in device._assembly.components if isinstance(one, Tap))
    with stranger(device.endpoints["tap"][0], b"SUB") as flood, within("the flood", 20):
        for start in range(0, 5_000, 1000):
            topics = [b"topic-%d" % number for number in range(start, start + 1000)]
            flood.sendall(b"".join(frame(b"\1" + topic) for topic in topics))
            flood.sendall((frame(b"\1frontend") + frame(b"\0frontend")) * 500)
            flood.sendall(b"".join(frame(b"\0" + topic) for topic in itertools.islice(topics, 500)))
        flood.sendall(frame(b"\1front"))
        eventually(lambda: list(tap._topics) == [b"front"], "the last subscription")
        assert not tap._questions
        assert tap._tapped == {b"frontend"}
