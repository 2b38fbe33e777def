"""What the log says of connections that were ended for want of descriptors."""

from __future__ import annotations

from geventrelay.engine.kept_off import KeptOff


def test_there_is_one_line_a_second_with_all_that_came_since_the_last():
    kept_off = KeptOff()
    lines = [kept_off.line(ended, now_s) for ended, now_s in ((1, 5.0), (2, 5.1), (3, 5.9), (1, 6.0))]
    assert [line and line["connections"] for line in lines] == ["1", None, None, "6"]
    assert lines[0]["reason"] == "fewer than 32 file descriptors are free"


def test_that_connections_wait_is_told_too():
    assert KeptOff().line(0, 1.0)["reason"] == "no file descriptor is free, so connections wait to be accepted"
