"""Devices in one process, and the people who run them."""
