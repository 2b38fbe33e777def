"""The token of a server, in a file that may change while the server runs."""

from __future__ import annotations

import logging
import os
import re
import stat
import time
from pathlib import Path

from ...errors import StartError
from ...file_state import file_state, is_settled
from ...log import event

log = logging.getLogger("geventrelay")

# RFC 6750, section 2.1: what may stand after "Bearer".
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
# More than the head of a request may have.
_MOST_CHARACTERS = 1 << 16

_State = tuple[int, ...] | None


class TokenFile:
    """The token in the first line of a file, which is read again whenever the file is another one or has changed.

    A secret that rotates is replaced in its file, and the new one counts from the next request on. Where the file
    cannot be read then, or has no token, the last one that it had goes on to count, and a line of the log says so.

    :param path: the file.
    :raises StartError: if it cannot be read or has no token.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # As the file was before it was read last, and whether it needs no other look inside as long as it is like that.
        self._seen, self._known = self._look()
        self._token = _read(path)
        # Why the last token is kept, and with which state of the file.
        self._kept: tuple[_State, str] | None = None

    def token(self) -> str:
        """The token now. Does not yield."""
        state, known = self._look()
        # A pipe can be read once.
        if state != self._seen or (state is not None and not self._known):
            self._read_again(state, known=known)
        return self._token

    def _look(self) -> tuple[_State, bool]:
        """The state of the file now, and whether each change from now on gives another one."""
        now_ns = time.time_ns()
        state = file_state(self._path)
        return state, is_settled(state, now_ns)

    def _read_again(self, state: _State, *, known: bool) -> None:
        try:
            token = _read(self._path)
        except StartError as error:
            # There may be no descriptor for it now: it is tried again.
            if (state, str(error)) != self._kept:
                log.warning(event("token-kept", reason=error))
            self._kept = state, str(error)
            return
        self._seen, self._known, self._kept = state, known, None
        if token != self._token:
            self._token = token
            log.info(event("token-changed", path=self._path))


def _read(path: Path) -> str:
    """The token in the file at `path`; logs a warning if every user may read the file.

    :raises StartError: if the file cannot be read or has no token.
    """
    try:
        with path.open(encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & stat.S_IROTH:
                log.warning(event("token-file-open-to-every-user", path=path, advice="chmod o-r keeps it to yours"))
            line = file.readline(_MOST_CHARACTERS)
            token = line.strip() if len(line) < _MOST_CHARACTERS else ""
    except OSError as error:
        raise StartError(f"cannot read {path} (--http-token-file): {error.strerror}") from error
    except UnicodeDecodeError:
        token = ""
    if not _TOKEN.fullmatch(token):
        rule = "a token in its first line, of letters, digits and any of ._~+/-"
        # The text may be a secret all the same, so the error does not show it.
        raise StartError(f"cannot use {path} (--http-token-file): expected {rule}")
    return token
