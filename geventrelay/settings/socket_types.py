"""Which two socket types can be joined, and in which directions messages then travel."""

from __future__ import annotations

from ..errors import SettingsError

READABLE = frozenset({"SUB", "XSUB", "XPUB", "PULL", "PAIR", "DEALER", "ROUTER"})
"""Socket types from which messages or subscriptions can be passed on."""
WRITABLE = frozenset({"PUB", "XPUB", "XSUB", "PUSH", "PAIR", "DEALER", "ROUTER"})
"""Socket types to which they can be passed on."""

_UNFIT = {
    "REQ": "a REQ must have its answer before it may send again, so it would carry one request at a time; use DEALER",
    "REP": "a REP must answer before it may receive again, so it would carry one request at a time; use ROUTER",
    "STREAM": "a STREAM speaks raw TCP and not ZeroMQ's protocol",
}


def directions(frontend: str, backend: str) -> tuple[bool, bool]:
    """Whether messages travel from frontend to backend, and whether from backend to frontend.

    :param frontend: a socket type by name, e.g. ``"PULL"``; `backend` likewise.
    :raises SettingsError: if the two cannot work together, with the reason.
    """
    reason = _misfit(frontend, backend)
    if reason is not None:
        name, why = reason
        raise SettingsError(name, f"a type that can be joined to the other side ({why})", f"{frontend} -> {backend}")
    return (
        frontend in READABLE and backend in WRITABLE,
        backend in READABLE and frontend in WRITABLE,
    )


def _misfit(frontend: str, backend: str, *, swapped: bool = False) -> tuple[str, str] | None:
    for name, kind in (("frontend_type", frontend), ("backend_type", backend)):
        if kind in _UNFIT:
            return name, _UNFIT[kind]
    swap = "; swap the two sides" if not swapped and _misfit(backend, frontend, swapped=True) is None else ""
    if frontend not in READABLE:
        return "frontend_type", f"nothing can be read from a {frontend}{swap or _one_of(READABLE)}"
    if backend not in WRITABLE:
        return "backend_type", f"nothing can be sent to a {backend}{swap or _one_of(WRITABLE)}"
    if "XSUB" in (frontend, backend) and "XPUB" not in (frontend, backend):
        return _side("XSUB", frontend), "only an XPUB hands an XSUB the subscriptions that it needs; use SUB"
    if "XPUB" in (frontend, backend) and "XSUB" not in (frontend, backend):
        return _side("XPUB", frontend), "an XPUB's subscriptions have nowhere to go but an XSUB; use PUB"
    if frontend == backend == "XPUB" or frontend == backend == "XSUB":
        return "backend_type", f"two {frontend} have nothing to say to each other"
    return None


def _one_of(kinds: frozenset[str]) -> str:
    return f"; use one of {', '.join(sorted(kinds))}"


def _side(kind: str, frontend: str) -> str:
    return "frontend_type" if frontend == kind else "backend_type"
