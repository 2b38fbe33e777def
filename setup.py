"""The way in for tools that ask for a setup.py; all but the extension is in setup.cfg, which cannot hold one."""

import glob

from setuptools import Extension, setup


def native(room: str, name: str, *libraries: str) -> Extension:
    """A compiled module of a `room`, with the inline functions that lie beside it."""
    folder, full = f"geventrelay/{room}/native", f"geventrelay.{room}.native.{name}"
    parts = sorted(glob.glob(f"{folder}/*.px[di]"))
    return Extension(full, [f"{folder}/{name}.pyx"], depends=parts, libraries=[*libraries], optional=True)


setup(
    ext_modules=[
        # Optional: without a compiler the install succeeds, and the burst in Python serves. No include directories and
        # no libraries but C's own: libzmq's functions are looked up in what pyzmq has loaded.
        native("engine", "libzmq"),
        native("engine", "burst"),
        native("switch", "core", "m"),
        # Plain Python too, and used as such where these could not be built.
        Extension("geventrelay.engine.readiness", ["geventrelay/engine/readiness.py"], optional=True),
        Extension("geventrelay.engine.pump", ["geventrelay/engine/pump.py"], optional=True),
    ],
)
