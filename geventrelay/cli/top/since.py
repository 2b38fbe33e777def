"""What has happened since ``top`` began: what was there before takes no lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .rates import DeviceRates


class Since:
    """Remembers what each device had counted when it was seen first."""

    def __init__(self) -> None:
        self._first: dict[str, DeviceRates] = {}

    def see(self, devices: Iterable[DeviceRates]) -> None:
        """Remember the `devices` that are new, and begin again with those that count from 0 again. Does not yield."""
        for one in devices:
            first = self._first.get(one.name)
            if first is None or (one.total("received") or 0) < (first.total("received") or 0):
                self._first[one.name] = one

    def reasons(self, one: DeviceRates, name: str) -> Mapping[str, int]:
        """The reasons by which a device, `one`, has dropped, lost or denied since, with their counts. Does not yield.

        :param name: the value's attribute: ``dropped``, ``lost`` or ``denied``.
        """
        before, now = _reasons(self._first.get(one.name), name), _reasons(one, name)
        return {reason: number for reason, number in now.items() if number > before.get(reason, 0)}

    def has_failed(self, one: DeviceRates) -> bool:
        """Whether a device, `one`, is down or was started again since. Does not yield."""
        first = self._first.get(one.name)
        before = 0 if first is None else first.restarts or 0
        return one.failure is not None and (one.state == "failed" or (one.restarts or 0) > before)


class Always(Since):
    """Everything that a server has counted, for what is printed once."""

    def see(self, devices: Iterable[DeviceRates]) -> None:
        """Remember nothing of the `devices`. Does not yield."""

    def has_failed(self, one: DeviceRates) -> bool:
        """Whether a device, `one`, has ever failed. Does not yield."""
        return one.failure is not None


def _reasons(one: DeviceRates | None, name: str) -> Mapping[str, int]:
    count = None if one is None else one.counts.get(name)
    return count if isinstance(count, Mapping) else {}
