"""A recording gives back what was written, up to the last whole record, and never anything else."""

from __future__ import annotations

import io
import json
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay.errors import RecordingError
from geventrelay.recording import DamageKind, Reader, Record, RecordFilter, Writer, format, from_line, to_line
from geventrelay.recording.record import RecordClock

SOURCES = st.binary(max_size=255).map(lambda name: name.decode(errors="surrogateescape"))
RECORDS = st.builds(
    Record,
    time_ns=st.integers(-(2**63), 2**63 - 1),
    source=st.sampled_from(["frontend", "backend", "sub"]) | SOURCES,
    parts=st.lists(st.binary(max_size=40), max_size=5).map(tuple),
)
SOME = st.lists(RECORDS, max_size=6)


def written(records, metadata=None):
    """A recording's bytes, and the byte behind each of its records."""
    file, ends = io.BytesIO(), []
    writer = Writer(file, {"device": "test"} if metadata is None else metadata)
    ends.append(file.tell())
    for record in records:
        writer.write(record)
        ends.append(file.tell())
    return file.getvalue(), ends


def read(data):
    reader = Reader(io.BytesIO(data))
    return list(reader), reader


@given(SOME)
def test_what_was_written_is_read(records):
    data, ends = written(records)
    got, reader = read(data)
    assert got == records
    assert reader.damage is None
    assert reader.metadata == {"device": "test"}
    assert reader.offset == ends[-1] == len(data)


@given(SOME, st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers() | st.none()))
def test_metadata_are_kept(records, metadata):
    assert read(written(records, metadata)[0])[1].metadata == metadata


@given(SOME, st.data())
def test_a_file_cut_at_any_byte_gives_exactly_the_records_that_are_whole(records, data):
    whole, ends = written(records)
    cut = data.draw(st.integers(ends[0], len(whole)))
    got, reader = read(whole[:cut])
    count = sum(end <= cut for end in ends[1:])
    assert got == records[:count]
    assert reader.offset == ends[count]
    if cut == ends[count]:
        assert reader.damage is None
    else:
        assert (reader.damage.kind, reader.damage.offset) == (DamageKind.TRUNCATED, ends[count])


def test_one_recording_cut_at_every_byte():
    records = [Record(7, "sub", (b"topic", b"x" * 30)), Record(8, "", ()), Record(9, "backend", (b"",))]
    whole, ends = written(records)
    for cut in range(ends[0]):
        with pytest.raises(RecordingError):
            Reader(io.BytesIO(whole[:cut]))
    for cut in range(ends[0], len(whole) + 1):
        assert read(whole[:cut])[0] == records[: sum(end <= cut for end in ends[1:])]


@given(SOME.filter(bool), st.data())
def test_changed_bytes_never_give_a_wrong_record(records, data):
    whole, ends = written(records)
    damaged = bytearray(whole)
    # Up to 32 bits in a row: what a CRC-32 finds for certain.
    at = data.draw(st.integers(0, len(whole) - 1))
    change = data.draw(st.binary(min_size=1, max_size=4).filter(any))
    for index, byte in enumerate(change[: len(whole) - at]):
        damaged[at + index] ^= byte
    if damaged == whole:
        return
    try:
        got, reader = read(bytes(damaged))
    except RecordingError:
        assert at < ends[0]
        return
    count = sum(end <= at for end in ends[1:])
    assert got == records[:count]
    assert (reader.damage.kind, reader.damage.offset) == (DamageKind.CORRUPT, ends[count])


def test_every_single_bit_of_a_recording_counts():
    records = [Record(7, "sub", (b"one", b"")), Record(8, "frontend", (b"two",))]
    whole, ends = written(records)
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        if bit // 8 < ends[0]:
            with pytest.raises(RecordingError):
                Reader(io.BytesIO(damaged))
        else:
            got, reader = read(bytes(damaged))
            assert got == records[: bit // 8 >= ends[1]]
            assert reader.damage.kind is DamageKind.CORRUPT


@given(st.binary(max_size=200))
def test_any_bytes_behind_the_records_are_told_and_not_read(tail):
    records = [Record(1, "sub", (b"x",))]
    got, reader = read(written(records)[0] + tail)
    assert got[:1] == records
    if tail:
        assert reader.damage is not None or len(got) > 1


@given(st.binary(max_size=60))
def test_no_bytes_at_all_are_mistaken_for_a_recording(data):
    with pytest.raises(RecordingError):
        Reader(io.BytesIO(data))


def test_damage_says_where_and_why():
    records = [Record(1, "sub", (b"x" * 100,)), Record(2, "sub", (b"y",))]
    whole, ends = written(records)
    assert str(read(whole[:-1])[1].damage) == (
        f"truncated at byte {ends[1]}: the file ends in the middle of a record, of which 28 of 29 bytes are there"
    )
    assert str(read(whole[: ends[1] + 3])[1].damage) == (
        f"truncated at byte {ends[1]}: the file ends in the middle of a record, of which 3 bytes are there"
    )
    middle, last, head = bytearray(whole), bytearray(whole), bytearray(whole)
    middle[ends[1] - 1] ^= 1
    last[-1] ^= 1
    head[ends[0]] ^= 1
    body = "the checksum of the record's body is wrong"
    assert str(read(middle)[1].damage) == f"corrupt at byte {ends[0]}: {body}; more records follow it"
    assert str(read(last)[1].damage) == f"corrupt at byte {ends[1]}: {body}; it is the last one"
    assert "head is wrong" in str(read(head)[1].damage)


def test_what_a_disk_leaves_after_a_power_cut_is_no_record():
    whole, ends = written([Record(1, "sub", (b"x",))])
    got, reader = read(whole + bytes(4096))
    assert len(got) == 1
    assert (reader.damage.kind, reader.damage.offset) == (DamageKind.CORRUPT, ends[1])


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        (b"", True),
        (b"\x00", False),
        (b"\x05sub", True),
        (b"\x03sub\x01\x00", True),
        (b"\x03sub\x02\x00\x00\x00x", True),
    ],
)
def test_lengths_that_do_not_add_up_are_damage_whatever_the_checksum_says(body, wrong):
    head = format.HEAD.pack(len(body), 1, format.zlib.crc32(body))
    start, _ = written([])
    got, reader = read(start + head + format.CRC.pack(format.zlib.crc32(head)) + body)
    assert (reader.damage is not None) == wrong == (not got)


def test_a_length_that_is_not_true_costs_no_memory():
    class Endless:
        """A file that counts what is asked of it."""

        def __init__(self, data):
            self.file, self.most = io.BytesIO(data), 0

        def read(self, size):
            self.most = max(self.most, size)
            return self.file.read(size)

    head = format.HEAD.pack(2**32 - 1, 1, 0)
    file = Endless(written([])[0] + head + format.CRC.pack(format.zlib.crc32(head)) + b"some")
    reader = Reader(file)
    assert list(reader) == []
    assert reader.damage.kind is DamageKind.TRUNCATED
    assert file.most <= 1024 * 1024


def test_a_file_that_gives_a_byte_at_a_time_is_read_all_the_same():
    class Slow(io.BytesIO):
        def read(self, size):
            return super().read(min(size, 1))

    records = [Record(n, "sub", (b"%d" % n, b"x" * n)) for n in range(20)]
    assert list(Reader(Slow(written(records)[0]))) == records


def test_a_record_larger_than_the_buffer():
    records = [Record(1, "sub", (b"a" * 3_000_000, b"b")), Record(2, "sub", (b"c",))]
    assert read(written(records)[0])[0] == records


def test_a_version_that_is_not_known_is_refused():
    start = format.START.pack(format.MAGIC, 2, 0)
    with pytest.raises(RecordingError, match="version 2"):
        Reader(io.BytesIO(start + format.CRC.pack(format.zlib.crc32(start))))


def test_metadata_that_are_no_object_or_too_large_are_refused():
    text = b"nonsense"
    start = format.START.pack(format.MAGIC, 1, len(text))
    crc = format.CRC.pack(format.zlib.crc32(text, format.zlib.crc32(start)))
    with pytest.raises(RecordingError, match="no JSON"):
        Reader(io.BytesIO(start + crc + text))
    with pytest.raises(RecordingError, match="corrupt"):
        Reader(io.BytesIO(format.START.pack(format.MAGIC, 1, 2**31) + bytes(4) + b"{}"))
    with pytest.raises(ValueError, match="at most"):
        format.header({"x": "y" * format.MOST_METADATA_BYTES})


def test_what_the_format_cannot_hold_is_refused_and_nothing_written(monkeypatch):
    file = io.BytesIO()
    writer = Writer(file, None)
    with pytest.raises(ValueError, match="source: expected at most 255 bytes, got 256"):
        writer.write(Record(1, "x" * 256, ()))
    monkeypatch.setattr(format, "MOST_BODY_BYTES", 20)
    for parts in ((b"x" * 21,), (b"x" * 10, b"y" * 10)):
        with pytest.raises(ValueError, match="message: expected at most"):
            writer.write(Record(1, "sub", parts))
    assert file.getvalue() == b""
    assert writer.records == 0


def test_the_layout_is_the_one_that_is_documented():
    data, _ = written([Record(0x0102, "sub", (b"ab", b""))], {})
    assert data[:14] == b"\x89GREC\r\n\x1a" + struct.pack("<HI", 1, 2)
    assert data[14:18] == struct.pack("<I", format.zlib.crc32(data[:14] + b"{}"))
    assert data[18:20] == b"{}"
    body = b"\x03sub" + b"\x02\0\0\0ab" + b"\0\0\0\0"
    head = struct.pack("<IqI", len(body), 0x0102, format.zlib.crc32(body))
    assert data[20:] == head + struct.pack("<I", format.zlib.crc32(head)) + body


@given(RECORDS.map(lambda record: record._replace(time_ns=abs(record.time_ns) % 2**61)))
def test_a_line_of_json_gives_the_record_back(record):
    line = to_line(record)
    assert "\n" not in line
    assert line.isascii()
    again = from_line(line)
    assert (again.source, again.parts) == (record.source, record.parts)
    assert abs(again.time_ns - record.time_ns) <= 1000


def test_a_line_shows_text_as_text_and_bytes_as_hex():
    line = to_line(Record(1_700_000_000_123_456_789, "frontend", (b"text", b"\x00\xff")))
    assert json.loads(line) == {
        "time": 1700000000.123457, "source": "frontend", "parts": ["text", {"hex": "00ff"}],
    }  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        "", "[]", "nonsense", "{}", "null", '{"time": 1, "source": 2, "parts": []}',
        '{"time": 1, "source": "x", "parts": [5]}', '{"time": 1, "source": "x", "parts": [{"hex": "0"}]}',
        '{"time": "soon", "source": "x", "parts": []}', '{"time": Infinity, "source": "x", "parts": []}',
    ],
)  # fmt: skip
def test_what_is_no_such_line_is_refused(line):
    with pytest.raises(RecordingError):
        from_line(line)


@pytest.mark.parametrize("parts", ["text", {"a": 1}, None, [["a"]], [None], [{"hex": 1}]])
def test_parts_are_a_list_of_parts(parts):
    with pytest.raises(RecordingError):
        from_line(json.dumps({"time": 1, "source": "a", "parts": parts}))


def test_a_choice_by_direction_topic_and_sample():
    records = [
        Record(n, source, (topic, b"%d" % n))
        for n, (source, topic) in enumerate([("a", b"x1"), ("b", b"x2"), ("a", b"y"), ("a", b"x"), ("a", b"xyz")])
    ]

    def taken(*arguments, **options):
        return [record.time_ns for record in filter(RecordFilter(*arguments, **options), records)]

    assert taken() == [0, 1, 2, 3, 4]
    assert taken("a") == [0, 2, 3, 4]
    assert taken("a", b"x") == [0, 3, 4]
    assert taken("a", b"x", 2) == [0, 4]
    assert taken(sample=3) == [0, 3]
    assert taken("none") == []
    assert taken(topic=b"xyzz") == []


def test_a_message_without_parts_has_no_topic():
    assert RecordFilter()(Record(1, "sub", ()))
    assert not RecordFilter(topic=b"x")(Record(1, "sub", ()))


@pytest.mark.parametrize("metadata", [b"[" * 200_000, b"9" * 5000, b'{"a":' * 100_000, b"\xff", b""])
def test_metadata_that_no_reader_of_json_takes_are_refused(metadata):
    start = format.START.pack(format.MAGIC, format.VERSION, len(metadata))
    crc = format.CRC.pack(zlib.crc32(metadata, zlib.crc32(start)))
    with pytest.raises(RecordingError, match="metadata is no JSON"):
        Reader(io.BytesIO(start + crc + metadata))


@pytest.mark.parametrize("line", [b"[" * 200_000, b"9" * 5000, b'{"parts":' * 100_000, b'{"time": 1e999, "parts": []}'])
def test_a_line_that_bites_is_no_message(line):
    with pytest.raises(RecordingError):
        from_line(line)


def test_a_clock_that_is_set_changes_no_gap():
    day, since_boot = [10**18], [5 * 10**9]
    clock = RecordClock(lambda: day[0], lambda: since_boot[0])
    assert clock() == 10**18
    since_boot[0] += 7
    for day[0] in (0, 2 * 10**18):
        assert clock() == 10**18 + 7
