"""The harness under the names that some tests know it by."""

from geventrelay.testing import LOCAL, Peer, Peers

__all__ = ["LOCAL", "Peer", "Peers"]
