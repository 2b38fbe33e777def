"""What the stream of a device holds is known, whichever device has stored it, and without asking NATS all the time."""

from __future__ import annotations

from support.durable import Stores
from support.nats import asked, nats_server

from geventrelay.backbone.store import holding
from geventrelay.backbone.values import StoreState

INFO = "$JS.API.STREAM.INFO.geventrelay+work+d"


def test_what_the_stream_holds_is_asked_for_now_and_then(tmp_path, monkeypatch):
    monkeypatch.setattr(holding, "ASK_S", 0.1)
    with nats_server(tmp_path, "-js", "-sd", str(tmp_path / "store")) as nats, Stores(nats.url) as stores:
        one, other = stores.start(), stores.start()
        one.until_stores()
        other.until_stores()
        known = one.durable.values
        assert (known()["store_packs"], known()["store_bytes"]) == (0, 0)
        one.device.give(*[b"%d" % number for number in range(100)])
        one.until(lambda: one.storing.stored == 100, "to be stored")
        state = asked(nats.url, INFO)["state"]
        other.until(lambda: other.durable.values()["store_packs"] == state["messages"], "what it holds")
        assert other.durable.values()["store_bytes"] == state["bytes"] > 100
        other.device.work(100)
        one.until(lambda: known()["store_packs"] == 0, "nothing to be held")
        nats.kill()
        one.until(lambda: one.durable.state is StoreState.WAITING, "the end of the connection")
        assert (known()["store_packs"], known()["store_bytes"]) == (None, None)
        nats.start()
        one.until(lambda: known()["store_packs"] == 0, "what it holds")
