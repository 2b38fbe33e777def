"""docs/http.rst has every route and every metric, and no other."""

import json
import re
from pathlib import Path
from types import MappingProxyType

from geventrelay.web.api import Api
from geventrelay.web.http.listener import MAX_BODY_BYTES, MAX_CONNECTIONS, MAX_HEADER_BYTES, REQUEST_S, SEND_S
from geventrelay.web.hub_delay import HubDelay
from geventrelay.web.metrics import Metrics
from geventrelay.web.tap import Taps

TEXT = (Path(__file__).parents[2] / "docs" / "http.rst").read_text(encoding="utf-8")


class Nothing:
    devices = MappingProxyType({})
    ready = True


def test_every_metric_is_in_the_table_and_no_other():
    scraped, _ = Metrics(Nothing(), HubDelay()).scrape("")
    names = set(re.findall(r"^# TYPE (geventrelay_\w+)", scraped.decode(), re.MULTILINE))
    assert names == set(re.findall(r"^``(geventrelay_\w+)``", TEXT, re.MULTILINE))


def test_every_route_is_in_the_table():
    api = Api(Nothing(), can_change=False, history=None, hub_delay=None)
    made = {**api.routes, **Taps(Nothing(), None).routes}
    routes = {f"{method} {pattern.replace('{}', 'NAME')}" for method, pattern in made}
    written = set(re.findall(r"^``((?:GET|POST) [^`]+)``", TEXT, re.MULTILINE))
    assert routes | {"GET /", "GET /metrics"} == written


def test_the_examples_are_json():
    examples = re.findall(r"code-block:: json\n\n((?:    .*\n|\n)+)", TEXT)
    assert len(examples) == 5
    for example in examples:
        assert json.loads(example)["version"] == 1


def test_the_limits_are_those_of_the_code():
    assert f"{MAX_CONNECTIONS} connections" in TEXT
    assert f"{MAX_HEADER_BYTES // 1024} KiB for its headers" in TEXT
    assert f"{MAX_BODY_BYTES // 1024} KiB for its body" in TEXT
    assert f"{REQUEST_S:g} s from one answer" in TEXT
    assert f"{SEND_S:g} s for a client" in TEXT
