"""When the spare descriptor is held, and when it is set free."""

import errno
import os

import pytest

from geventrelay.server import spare


class Descriptors:
    """Stands in for the module `os`: so many descriptors are free."""

    devnull, O_RDONLY, O_CLOEXEC = os.devnull, os.O_RDONLY, os.O_CLOEXEC

    def __init__(self, free: int) -> None:
        self.free = free

    def open(self, path: str, flags: int) -> int:
        if not self.free:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        self.free -= 1
        return 3

    def close(self, descriptor: int) -> None:
        self.free += 1


@pytest.fixture
def descriptors(monkeypatch) -> Descriptors:
    made = Descriptors(5)
    monkeypatch.setattr(spare, "os", made)
    return made


def test_one_is_held_while_others_are_free(descriptors):
    held = spare.SpareDescriptor()
    assert held.held
    assert descriptors.free == 4
    for descriptors.free in (4, 1):
        held.look()
        assert held.held


def test_it_is_set_free_when_none_is_and_held_again_when_two_are(descriptors):
    held = spare.SpareDescriptor()
    descriptors.free = 0
    held.look()
    assert (held.held, descriptors.free) == (False, 1)
    # Two connections at once may each need one: the last that is free is not taken from them.
    held.look()
    assert (held.held, descriptors.free) == (False, 1)
    descriptors.free = 2
    held.look()
    assert (held.held, descriptors.free) == (True, 1)


def test_none_is_held_where_there_was_none_to_begin_with(descriptors):
    descriptors.free = 1
    held = spare.SpareDescriptor()
    assert not held.held
    held.close()
    held.close()
    assert descriptors.free == 1


def test_it_is_given_back_at_the_end(descriptors):
    held = spare.SpareDescriptor()
    held.close()
    held.close()
    assert descriptors.free == 5
