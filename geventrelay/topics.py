"""The topic of a message. Pure."""

from __future__ import annotations


def topic_of(first: bytes, *, several: bool, until: bytes) -> bytes:
    """The topic of a message.

    :param first: the body of its first part, as much as a topic may have.
    :param several: whether it has more parts.
    :param until: what ends a topic in the first part; empty is the rule without ``--topic-until``.
    """
    if until:
        return first.partition(until)[0]
    return first if several else first.partition(b" ")[0]
