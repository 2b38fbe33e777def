"""How many descriptors are free."""

import errno
import os

import pytest

from geventrelay.engine import descriptors


def test_an_open_file_takes_one():
    before = descriptors.free()
    reader, writer = os.pipe()
    try:
        assert descriptors.free() == before - 2
    finally:
        os.close(reader)
        os.close(writer)


def test_what_is_required_is_there_or_emfile():
    descriptors.require(1)
    with pytest.raises(OSError, match="Too many open files") as caught:
        descriptors.require(int(descriptors.free()) + 1000)
    assert caught.value.errno == errno.EMFILE
