"""Devices of one name in several processes act as one: what is published at one of them reaches all, over NATS."""
