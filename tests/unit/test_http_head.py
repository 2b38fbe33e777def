"""A head is read as every proxy reads it, or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geventrelay.web.http.head import HeadError, check_coding, check_field, check_request_line, content_length


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1\r\n", b"M-SEARCH * HTTP/1.0\r\n", b"GET /a?b=%20#\xff HTTP/1.1\r\n"])
def test_a_request_line_that_is_one(line):
    check_request_line(line)


@pytest.mark.parametrize(
    "line",
    [
        b"GET  / HTTP/1.1\r\n", b"GET /  HTTP/1.1\r\n", b" GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1 \r\n", b"GET /\tx HTTP/1.1\r\n",
        b"GET / HTTP/11\r\n", b"GET / http/1.1\r\n", b"G\0T / HTTP/1.1\r\n",
        b"GET /\0 HTTP/1.1\r\n", b"GET /\r HTTP/1.1\r\n",
        b"G(T / HTTP/1.1\r\n", b"GET / HTTP/1.1\n", b"GET / HTTP/1.1", b"\r\n", b"",
    ],
)  # fmt: skip
def test_a_request_line_that_is_none(line):
    with pytest.raises(HeadError):
        check_request_line(line)


@pytest.mark.parametrize("line", [b"Host: a\r\n", b"X:\r\n", b"X-\x7e:\t b\xe9 \r\n", b"\r\n"])
def test_a_field_that_is_one(line):
    check_field(line)


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length : 5\r\n", b"Content-Length\t: 5\r\n", b"no colon\r\n", b": no name\r\n",
        b" folded: x\r\n", b"\tfolded\r\n",
        b"X: a\rContent-Length: 5\r\n", b"X: a\0b\r\n", b"X: \x0b\r\n", b"X: \x7f\r\n",
        b"X\xe9: b\r\n", b"X: bare line feed\n",
        b"X: a\nY: b\r\n", b"X: cut o",
    ],
)  # fmt: skip
def test_a_field_that_is_none(line):
    with pytest.raises(HeadError):
        check_field(line)


@given(st.binary(max_size=30))
def test_whatever_passes_is_one_name_one_colon_and_one_line(content):
    try:
        check_field(content + b"\r\n")
    except HeadError:
        return
    if content:
        name, colon, value = content.partition(b":")
        assert name
        assert colon
        assert name.strip() == name
        assert not {0, 10, 13} & set(value)


@pytest.mark.parametrize(("values", "length"), [([], 0), (["0"], 0), ([" 45\t"], 45), (["007"], 7)])
def test_a_length(values, length):
    assert content_length(values) == length


@pytest.mark.parametrize("value", ["+5", "-1", "4_5", "0x5", "5, 5", "5 5", "", "1e3", "\u0665", "9" * 19])
def test_a_length_that_is_none(value):
    with pytest.raises(HeadError):
        content_length([value])


def test_two_lengths_are_refused_even_if_they_agree():
    with pytest.raises(HeadError):
        content_length(["5", "5"])


@pytest.mark.parametrize(("codings", "lengths"), [([], []), ([], ["5"]), (["chunked"], []), ([" Chunked\t"], [])])
def test_a_coding_that_tells_where_the_body_ends(codings, lengths):
    check_coding(codings, lengths)


@pytest.mark.parametrize(
    ("codings", "lengths"),
    [(["chunked"], ["5"]), (["identity"], []), (["gzip, chunked"], []), (["xchunked"], []),
     (["chunked", "chunked"], []), (["\x0bchunked"], []), ([""], []), (["chunked;a=b"], [])],
)  # fmt: skip
def test_a_coding_that_does_not(codings, lengths):
    with pytest.raises(HeadError):
        check_coding(codings, lengths)
