"""Moves messages. Knows sockets; knows no pattern, no configuration, no HTTP.

The way of a message: ``RelaySocket (source) -> Pump -> Burst -> Outlet -> RelaySocket (destination)``.
"""
