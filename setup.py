"""The way in for tools that ask for a setup.py; all but the extension is in setup.cfg, which cannot hold one."""

from setuptools import Extension, setup


def native(room: str, name: str, *parts: str) -> Extension:
    """A compiled module of a `room`; `parts` are those whose inline functions it is made of."""
    folder = f"geventrelay/{room}/native"
    depends = [f"{folder}/{part}.pxd" for part in parts]
    return Extension(f"geventrelay.{room}.native.{name}", [f"{folder}/{name}.pyx"], depends=depends, optional=True)


setup(
    ext_modules=[
        # Optional: without a compiler the install succeeds, and the burst in Python serves. No include directories and
        # no libraries: libzmq's functions are looked up in what pyzmq has loaded.
        native("engine", "libzmq", "libzmq"),
        native("engine", "burst", "libzmq", "message", "topic", "lane"),
        native(
            "switch",
            "core",
            "ask",
            "blocks",
            "copies",
            "cutting",
            "frames",
            "incoming",
            "peer",
            "publish",
            "push",
            "queue",
            "reading",
            "route",
            "routes",
            "sending",
            "subscribing",
            "topics",
        ),
        # Plain Python too, and used as such where these could not be built.
        Extension("geventrelay.engine.readiness", ["geventrelay/engine/readiness.py"], optional=True),
        Extension("geventrelay.engine.pump", ["geventrelay/engine/pump.py"], optional=True),
    ],
)
