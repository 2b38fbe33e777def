"""The inputs that the fuzzer begins with, and those that it has found: see scripts/fuzz."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fuzz_target import WAYS, try_input

CORPUS = Path(__file__).parents[1] / "corpus"


@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.iterdir()))
def test_an_input_is_understood_alike_by_both_cores_however_it_is_cut(name):
    try_input((CORPUS / name).read_bytes())


PIECES = [
    b"\0\1a", b"\1\0", b"\0\0", b"\0\2\1a", b"\0\2\0a", b"\2" + bytes(7) + b"\1b", b"\2\1", b"\1",
    b"\4\7\4PING\0\1", b"\4\x0b\x09SUBSCRIBEa", b"\4\7\6CANCEL", b"\xff" + bytes(7) + b"\2\0c",
]  # fmt: skip
FRAMES = st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=20)


@settings(max_examples=60)
@given(st.sampled_from([0, 2]), st.integers(0, 2 * len(WAYS) - 1), st.integers(0, 3), st.integers(0, 12), FRAMES)
def test_so_is_whatever_frames_and_bytes_come_sealed_or_not(what, way, version, step, data):
    try_input(bytes([what, way, version, step]) + b"".join(data))
