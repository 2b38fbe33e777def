"""A file with rights, which may change while devices run."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from gevent.lock import BoundedSemaphore

from ..engine.grant import Grant
from ..errors import SettingsError, StartError
from ..file_state import file_state, is_settled
from ..log import event
from ..regular_file import open_regular
from ..settings import DeviceSettings
from ..settings.file.positions import MOST_PARTS, loads, too_deep
from .disk import in_thread
from .rights import Rights, RightsTable, read_rights
from .rights_rules import TO_SUBSCRIBERS

log = logging.getLogger("geventrelay")

LIMIT_BYTES = 2**20
"""A larger file is refused."""

Check = Callable[[RightsTable], None]

_State = tuple[int, ...] | None


class RightsFile:
    """The rights in a file, which `refresh` reads again if the file is another one or has changed.

    Where it cannot be used then, the last rights that it had go on to count, and a line of the log says so. To make
    one yields while a thread reads the disk.

    :param path: the file; docs/rights.rst says what can stand in it.
    :param check: raises `SettingsError` for rights that cannot be held to; None for none.
    :ivar on_change: is called in `refresh` once there are other rights; it must not yield.
    :raises StartError: if it cannot be used, with a line for each thing that is wrong.
    """

    def __init__(self, path: Path, check: Check | None = None) -> None:
        self._path = path
        self._check = check
        # As the file was before it was read last, and whether it needs no look inside as long as it is like that.
        self._seen, self._known = _look_at(path)
        self._table = in_thread(_read, path, check)
        self._looking = BoundedSemaphore()
        # How many looks have begun, and the number of the last one that came to its end.
        self._begun = self._ended = 0
        # Of which file the last rights are kept in place of its own, and why.
        self._kept: tuple[_State, str] | None = None
        self.on_change: Callable[[], None] = _nothing

    def of(self, user: str) -> Rights:
        """What `user` may do, by the last `refresh`; an empty name is a peer without one. Does not yield."""
        return self._table.of(user)

    def refresh(self, *, anew: bool = False) -> None:
        """Look whether the file has changed since this was called. Yields while a thread reads the disk.

        Of several calls at once, those that have to wait for another one share the next look.

        :param anew: whether to read it even if it seems not to have changed: over a network, that may be told late.
        """
        wanted = self._begun + 1
        with self._looking:
            # A greenlet that is killed, as that of a peer that leaves, has looked for no other one.
            if anew or self._ended < wanted:
                self._begun += 1
                self._look(anew=anew)
                self._ended = self._begun

    def _look(self, *, anew: bool) -> None:
        state, known = _look_at(self._path)
        if state == self._seen and self._known and not anew:
            return
        try:
            table = in_thread(_read, self._path, self._check)
        except _UnreadError as error:
            # What is in it now is not known, even if it stays as it is.
            self._seen, self._known = state, False
            self._keep(state, error, anew=anew)
        except StartError as error:
            self._seen, self._known = state, known
            self._keep(state, error, anew=anew)
        else:
            # Only now: a look that is killed before has seen nothing.
            self._seen, self._known, self._kept = state, known, None
            self._take(table)

    def _keep(self, state: _State, error: StartError, *, anew: bool) -> None:
        # Looks for peers that come may find the same many times.
        if anew or (state, str(error)) != self._kept:
            log.warning(event("rights-kept", reason=error))
        self._kept = state, str(error)

    def _take(self, table: RightsTable) -> None:
        if table != self._table:
            self._table = table
            log.info(event("rights-changed", path=self._path))
            self.on_change()


class _UnreadError(StartError):
    """The file could not be read."""


class Grants:
    """What the peers of a device may do at its sockets.

    :param settings: the device's, with a file of rights.
    :param check: see `RightsFile`.
    :raises StartError: if the file cannot be used.
    """

    def __init__(self, settings: DeviceSettings, check: Check | None = None) -> None:
        assert settings.rights is not None
        self._device = settings.name
        self._file = RightsFile(settings.rights, check)

    @property
    def on_change(self) -> Callable[[], None]:
        """Is called in `refresh` once there are other rights; it must not yield."""
        return self._file.on_change

    @on_change.setter
    def on_change(self, on_change: Callable[[], None]) -> None:
        """Have `on_change` called from now on."""
        self._file.on_change = on_change

    def refresh(self, *, anew: bool = False) -> None:
        """Read the file again if it has changed; see `RightsFile.refresh`. Yields while a thread reads the disk.

        :param anew: whether to read it in any case.
        """
        self._file.refresh(anew=anew)

    def grant(self, socket_type: str, user: str) -> Grant | None:
        """What a `user` may do at a socket of the type `socket_type`, e.g. ``"XPUB"``; None if it must not connect.

        An empty name is a peer without one. Does not yield.
        """
        return self._file.of(user).grant(socket_type, self._device)


def grants(settings: DeviceSettings) -> Grants | None:
    """What the peers of a device of `settings` may do; None for everything. Yields while a thread reads the disk.

    :raises StartError: if the file with that cannot be used.
    """
    return None if settings.rights is None else Grants(settings)


def grants_on_libzmq(settings: DeviceSettings) -> Grants | None:
    """The same of `settings` with engine libzmq, which cannot keep subscribers from topics. Yields likewise.

    :raises StartError: if the file cannot be used, or asks for that.
    """
    if settings.rights is None:
        return None
    types = settings.socket_types
    keys = ", ".join(key for key in settings.rights_rules if types[key] in TO_SUBSCRIBERS)

    def check(table: RightsTable) -> None:
        narrowed = table.narrowed
        if keys and narrowed is not None:
            rule = f'[""] with engine libzmq, which cannot keep subscribers ({keys}) from topics; --engine zmtp can'
            raise SettingsError(f"{narrowed[0]}.subscribe", rule, narrowed[1])

    return Grants(settings, check)


def _nothing() -> None:
    pass


def _look_at(path: Path) -> tuple[_State, bool]:
    """The state of the file now, and whether each change from now on gives another one. Yields meanwhile."""
    now_ns = time.time_ns()
    state = in_thread(file_state, path)
    return state, is_settled(state, now_ns)


def _read(path: Path, check: Check | None) -> RightsTable:
    try:
        with open_regular(path) as file:
            content = file.read(LIMIT_BYTES + 1)
    except OSError as error:
        raise _UnreadError(f"cannot read {path} (--rights): {error.strerror}") from error
    try:
        table = read_rights(loads(_text(content)))
        if check is not None:
            check(table)
        return table
    except SettingsError as error:
        lines = str(error).splitlines()
    except (ValueError, RecursionError) as error:
        lines = [f"expected TOML, got: {error}"]
    raise StartError("\n".join(f"cannot use {path} (--rights): {line}" for line in lines))


def _text(content: bytes) -> str:
    """:raises ValueError: for what a TOML reader is better not given."""
    if len(content) > LIMIT_BYTES:
        raise ValueError(f"more than {LIMIT_BYTES} bytes")
    # Editors on some systems put a byte order mark first.
    text = content.decode("utf-8-sig")
    line = too_deep(text)
    if line is not None:
        raise ValueError(f"a key of more than {MOST_PARTS} parts in line {line}")
    return text
