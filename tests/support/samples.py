"""A value for each of ZeroMQ's socket options."""

from __future__ import annotations

import zmq

PUBLIC, SECRET = zmq.curve_keypair()

SAMPLES = {
    "bindtodevice": "lo", "socks_password": "a", "socks_proxy": "127.0.0.1:1", "socks_username": "a",
    "tcp_accept_filter": "127.0.0.0/8", "curve_publickey": PUBLIC, "curve_secretkey": SECRET,
    "curve_serverkey": PUBLIC, "plain_password": "a", "plain_username": "a", "connect_routing_id": "a",
    "routing_id": "a", "xpub_welcome_msg": "a", "maxmsgsize": 1024, "legacy_peers": False,
}  # fmt: skip
"""For options that take no 1."""
