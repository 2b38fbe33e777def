"""Every exception of the package, by whose fault it is."""

from __future__ import annotations


class GeventRelayError(Exception):
    """Base of every exception that this package raises on purpose."""


class SettingsError(GeventRelayError, ValueError):
    """The caller's fault: an input broke a rule. Nothing was started.

    The text reads ``name: expected RULE, got VALUE``; the three pieces are attributes, so that a front end
    can show the name under which its user knows the input.

    :param name: the input, e.g. ``sndhwm`` (``--sndhwm`` when it came from the command line).
    :param rule: what would have been right, e.g. ``an integer >= 0``.
    :param value: what was given.
    """

    def __init__(self, name: str, rule: str, value: object) -> None:
        self.name, self.rule, self.value = name, rule, value
        super().__init__(f"{name}: expected {rule}, got {value!r}")


class StartError(GeventRelayError, RuntimeError):
    """This process could not do what was asked: an endpoint could not be bound, a host did not resolve.

    Whatever had been started before the failure has been undone when this is raised.
    """


class DeviceFailed(GeventRelayError, RuntimeError):
    """A running device ended because one of its greenlets died; ``__cause__`` is what killed it."""


class ForkedError(GeventRelayError, RuntimeError):
    """A forked child used a device of its parent. The parent's is unharmed; the child is to make one of its own."""


class RecordingError(GeventRelayError, ValueError):
    """A recording's fault: a file or a line that is none or of an unknown version, or a message that it cannot hold."""
