"""What several folders share: engines, who may connect, the longest topic, what has no taker, what is sent."""

from __future__ import annotations

import enum

LONGEST_TOPIC_BYTES = 8 * 1024
"""The longest topic that an XSUB is asked for, where no option says otherwise."""


class Engine(enum.Enum):
    """What moves a device's messages."""

    AUTO = "auto"
    """ZMTP where an option asks for what it alone has, else LIBZMQ."""
    LIBZMQ = "libzmq"
    """ZeroMQ's library, as every other program has it."""
    ZMTP = "zmtp"
    """Connections of our own, which speak ZeroMQ's protocol."""


class Mechanism(enum.Enum):
    """How a peer says who it is (RFC 23): the mechanism of its handshake."""

    NULL = "NULL"
    """Not at all: there is its address alone."""
    PLAIN = "PLAIN"
    """By a name and a password, which can be read on the way (RFC 24)."""
    CURVE = "CURVE"
    """By a key that it has proved to hold (RFC 26)."""


class Denial(enum.Enum):
    """Why a peer was not let in by the rules of who may connect: what it is counted by."""

    ADDRESS = "address"
    """Its address is not allowed."""
    UNKNOWN_KEY = "unknown_key"
    """Its key is none of a client's."""
    UNKNOWN_USER = "unknown_user"
    """There is no password of such a user."""
    WRONG_PASSWORD = "wrong_password"
    """The user has another password."""
    MECHANISM = "mechanism"
    """The socket takes peers with another mechanism."""
    FORBIDDEN = "forbidden"
    """It would be given messages that it has no right to."""
    NOT_READY = "not_ready"
    """No decision could be made yet, or not in time."""
    FAILED = "failed"
    """An error came up while it was decided."""


class OnRevoke(enum.Enum):
    """What happens to a connection once a reload would not let it in any more."""

    KEEP = "keep"
    """It goes on until its peer leaves."""
    DISCONNECT = "disconnect"
    """It is ended."""


class WhenFull(enum.Enum):
    """What happens to a message that no peer can take now."""

    DROP = "drop"
    """It is dropped and counted."""
    BLOCK = "block"
    """It is held, and nothing more is read until a peer takes it: senders get backpressure."""


class SlowSubscriber(enum.Enum):
    """What happens to a message for a subscriber that has as many waiting as its high-water mark allows."""

    DROP = "drop"
    """The subscriber does not get this message, as with libzmq."""
    DROP_OLDEST = "drop-oldest"
    """The subscriber does not get the oldest that waits."""
    DISCONNECT = "disconnect"
    """The subscriber is disconnected; what waits for it is dropped."""
    BLOCK = "block"
    """Every subscriber waits, and so do the senders."""


class ReplayProtocol(enum.Enum):
    """What is spoken at the port at which subscribers ask for messages that they have missed."""

    GEVENTRELAY = "geventrelay"
    """Numbers that the device gives, and losses that are told: docs/replay.rst."""
    VLLM = "vllm"
    """Numbers that the publisher gives. As vLLM's events of its cache, from version 0.26 on."""
    SGLANG = "sglang"
    """The same without the topic in answers: SGLang, and vLLM before."""


class RatePer(enum.Enum):
    """What has a rate of its own, at each socket that messages come in at."""

    DEVICE = "device"
    """All peers together."""
    USER = "user"
    """All connections of one user; peers without a name are one."""
    PEER = "peer"
    """Each connection."""


class WhenOverRate(enum.Enum):
    """What happens to messages beyond the rate."""

    WAIT = "wait"
    """They are not read before there is room again: senders get backpressure."""
    DROP = "drop"
    """They are dropped and counted."""


class Payload(enum.Enum):
    """Which part of a message is sent on."""

    AUTO = "auto"
    """PARTS for a message of several parts. One of one part is cut at its first space if a topic stands before it."""
    SPACE = "space"
    """The text after the first space of the first part (the whole part if it has no space), and the other parts."""
    PARTS = "parts"
    """Every part except the first; a message of one part is sent whole."""
    WHOLE = "whole"
    """The message as it came."""
    SWAP = "swap"
    """Every part, with the first two swapped: from one ROUTER to another, the ids of sender and receiver."""
