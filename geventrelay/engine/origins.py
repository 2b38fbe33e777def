"""Over which connection a message came, of which libzmq tells the descriptor alone (ZMQ_SRCFD). Pure.

The kernel gives a descriptor to the next connection as soon as it is free. A message that is read may be of the one
that had it before: libzmq keeps what came over a connection after its end too, until it is read.
"""

from __future__ import annotations


class Origins:
    """Of which descriptors all that is read came over the connections that have them now.

    They do if no other connection of the socket had them before, or once the socket had nothing to read meanwhile:
    libzmq hands over what came over a connection before it closes its descriptor (stream_engine_base_t::error).
    """

    def __init__(self) -> None:
        # How often the socket has to have had nothing to read.
        self._certain_from: dict[int, int] = {}

    def gained(self, descriptor: int, emptied: int) -> None:
        """A connection has been made.

        :param descriptor: its descriptor.
        :param emptied: how many times the socket has had nothing to read before.
        """
        self._certain_from[descriptor] = emptied + (descriptor in self._certain_from)

    def is_certain(self, descriptor: int, emptied: int) -> bool:
        """Whether a message with this `descriptor` came over the connection that was `gained` last with it.

        :param descriptor: what libzmq says of it.
        :param emptied: how many times the socket had had nothing to read when the message was read.
        """
        return descriptor in self._certain_from and emptied >= self._certain_from[descriptor]
