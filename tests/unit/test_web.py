"""The pure parts of the web: routes, checks, and what a request is."""

import re
from http import HTTPStatus
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import geventrelay
from geventrelay.web.http.messages import Refusal, Request, Response, encoded
from geventrelay.web.http.permissions import Guard
from geventrelay.web.http.router import Router
from geventrelay.web.http.static import TYPES, page


def ask(path="/", method="GET", version="HTTP/1.1", **headers):
    return Request(method, path, {}, {name.replace("_", "-"): value for name, value in headers.items()}, version)


def answer_with(word):
    return lambda request, *names: Response(" ".join([word, *names]).encode())


ROUTER = Router(
    {
        ("GET", "/"): answer_with("root"),
        ("GET", "/api/devices"): answer_with("all"),
        ("GET", "/api/devices/{}"): answer_with("one"),
        ("POST", "/api/devices/{}/pause"): answer_with("pause"),
        ("GET", "/api/devices/{}/peers"): answer_with("peers"),
    }
)


@pytest.mark.parametrize(
    ("method", "path", "said"),
    [
        ("GET", "/", b"root"),
        ("HEAD", "/", b"root"),
        ("GET", "/api/devices", b"all"),
        ("GET", "/api/devices/x", b"one x"),
        ("GET", "/api/devices/a%2Fb", b"one a/b"),
        ("GET", "/api/devices/%C3%A9", "one é".encode()),
        ("POST", "/api/devices/x/pause", b"pause x"),
    ],
)
def test_a_route_gets_what_stands_in_the_path(method, path, said):
    handler, names = ROUTER.find(ask(path, method))
    assert handler(ask(path, method), *names).body == said


@pytest.mark.parametrize(
    "path", ["", "x", "//", "/api", "/api/devices/", "/api/devices/x/y", "/api/devices//pause", "/.."]
)
def test_what_fits_no_route_is_not_found(path):
    with pytest.raises(Refusal) as caught:
        ROUTER.find(ask(path))
    assert caught.value.status == HTTPStatus.NOT_FOUND


def test_a_wrong_method_is_told_the_right_ones():
    with pytest.raises(Refusal) as caught:
        ROUTER.find(ask("/api/devices/x/pause", "GET"))
    assert (caught.value.status, caught.value.headers) == (HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "OPTIONS, POST"})


@given(st.text())
def test_any_path_is_answered_or_not_found(path):
    try:
        ROUTER.find(ask(path))
    except Refusal as refusal:
        assert refusal.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)


@given(st.text(), st.one_of(st.none(), st.text()))
def test_only_the_very_token_is_taken(given_token, scheme):
    guard = Guard("127.0.0.1", lambda: "right")
    header = {} if scheme is None else {"authorization": f"{scheme} {given_token}"}
    right = scheme is not None and scheme.lower() == "bearer" and given_token.strip() == "right"
    try:
        guard.check_change(ask(method="POST", host="localhost", **header))
    except Refusal as refusal:
        assert not right
        assert refusal.status == HTTPStatus.UNAUTHORIZED
    else:
        assert right


@given(st.text())
def test_a_host_is_an_address_or_ours(host):
    try:
        Guard("relay.example", None).check_host(ask(host=host))
    except Refusal as refusal:
        assert refusal.status == HTTPStatus.MISDIRECTED_REQUEST
    else:
        assert ":" in host or "." in host or host.isascii()


def test_the_name_that_was_bound_is_ours():
    guard = Guard("Relay.Example", None)
    guard.check_host(ask(host="relay.example:8080"))
    guard.check_host(ask(host="relay.example."))
    with pytest.raises(Refusal):
        guard.check_host(ask(host="other.example:8080"))


def test_a_request_is_read_from_its_environ():
    environ = {
        "REQUEST_METHOD": "GET", "RAW_URI": "/a%20b?x=1&y&x=2%26", "SERVER_PROTOCOL": "HTTP/1.0",
        "HTTP_SEC_FETCH_SITE": "none", "wsgi.url_scheme": "http",
    }  # fmt: skip
    request = Request.of(environ)
    assert (request.method, request.path, request.version) == ("GET", "/a%20b", "HTTP/1.0")
    assert request.query == {"x": "2&", "y": ""}
    assert request.headers == {"sec-fetch-site": "none"}


def test_json_is_one_line():
    assert encoded({"a": "b\nc"}) == b'{"a":"b\\nc"}\n'


def test_every_file_of_the_page_has_a_type_and_a_tag():
    for (method, path), handler in page().items():
        response = handler(ask(path))
        assert method == "GET"
        assert path == "/" or response.content_type == TYPES[path.rpartition(".")[2]]
        again = handler(ask(path, if_none_match=response.headers["ETag"]))
        assert (again.status, again.body) == (HTTPStatus.NOT_MODIFIED, b"")


def test_the_page_makes_no_markup_of_text():
    page = Path(geventrelay.__file__).parent / "web" / "page"
    risky = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b|new Function|srcdoc")
    assert [path.name for path in page.glob("*.js") if risky.search(path.read_text(encoding="utf-8"))] == []
    # Text becomes nodes in one file, which escapes what is not seen. A canvas measures text, and shows none.
    makes = re.compile(
        r"createElement(?!\(\"canvas\"\))|createTextNode|textContent\s*=|nodeValue\s*=|setAttribute\(\s*[\"']"
    )
    assert [path.name for path in sorted(page.glob("*.js")) if makes.search(path.read_text(encoding="utf-8"))] == [
        "dom.js"
    ]


def test_the_page_makes_no_format_anew_for_each_number():
    # toLocaleString with options does, which kept a browser on a busy machine from ever being done with an event.
    folder = Path(geventrelay.__file__).parent / "web" / "page"
    assert [file.name for file in folder.glob("*.js") if ".toLocaleString(" in file.read_text(encoding="utf-8")] == []
