"""What a device says of itself: rates from counts."""

from __future__ import annotations

from geventrelay.backbone.about import Portrait
from geventrelay.components.component import Traffic
from geventrelay.version import version


def test_rates_are_those_since_the_last_time_but_not_of_a_moment():
    now = [Traffic(100, 10, {"sub": 2})]
    portrait = Portrait(lambda: now[0])

    def told(at: float) -> tuple[int, int]:
        about = portrait.at(at, server="nats://n1:4222", waiting=3, incoming=4)
        assert (about.server, about.waiting, about.incoming, about.version) == ("nats://n1:4222", 3, 4, version())
        assert about.peers == now[0].peers
        return about.received_per_s, about.sent_per_s

    # What was before is not known.
    assert told(50.0) == (0, 0)
    now[0] = Traffic(300, 30, {"sub": 3})
    assert told(50.1) == (0, 0)
    assert told(51.0) == (200, 20)
    assert told(51.2) == (200, 20)
    assert told(52.0) == (0, 0)
    # The device was started again.
    now[0] = Traffic(5, 0)
    assert told(53.0) == (0, 0)
    now[0] = Traffic(10, 1)
    assert told(55.0) == (2, 0)
