"""What several tests share: of a server's HTTP, and of the cores of the switch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest
from support.http import TOKEN
from support.switch import CORES, World

from geventrelay import Device
from geventrelay.settings import DeviceSettings
from geventrelay.switch.contract import Core
from geventrelay.switch.native.choose import native_core_module
from geventrelay.testing import Devices


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """A file with the token, which only its owner may read."""
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture(autouse=True)
def no_timer_is_freed_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails a test that on libuv forgets a timer without closing it, as zmq.green's waits do with a time-out.

    gevent then frees memory that libuv uses, and the process crashes much later, in another test.
    """
    if type(gevent.get_hub().loop).__module__.startswith("gevent.libuv"):
        monkeypatch.setattr(gevent.Timeout, "cancel", _refuse_cancel)


def _refuse_cancel(timeout: gevent.Timeout) -> None:
    timeout.close()
    # gevent's own, as of `with_timeout`, are closed by it.
    assert timeout._one_shot, "Timeout.cancel() leaves its timer to libuv (docs/embedding.rst): call close()"


@pytest.fixture(autouse=True)
def answers_are_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has no answer over HTTP serve twice, however long it took to make: tests read what they have just done."""
    monkeypatch.setattr("geventrelay.web.recent.CHEAP_S", 60.0)


@pytest.fixture
def no_device_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has no device take another one for gone since it was silent for long: on a busy machine, all may be.

    Those that stop say so. That silence ends is for the tests of `geventrelay.backbone.mesh`, whose clock is made up.
    """
    monkeypatch.setattr("geventrelay.backbone.mesh.EXPIRY_S", 3600.0)


@pytest.fixture(params=CORES)
def make_core(request: pytest.FixtureRequest) -> Callable[[], Core]:
    return CORES[request.param]


@pytest.fixture
def world(make_core: Callable[[], Core]) -> Iterator[World]:
    made = World(make_core())
    yield made
    made.close()


@pytest.fixture(params=["native", "python"])
def either(
    request: pytest.FixtureRequest, run: Devices, monkeypatch: pytest.MonkeyPatch
) -> Callable[[DeviceSettings], Device]:
    """Starts a device of engine zmtp with either core."""
    if request.param == "native" and native_core_module() is None:
        pytest.skip("the native core is not built")
    if request.param == "python":
        monkeypatch.setattr("geventrelay.switch.choose.native_core_module", lambda: None)
    return lambda settings: run(settings, engine="zmtp")
