"""The way in for tools that ask for a setup.py; all but the extension is in setup.cfg, which cannot hold one."""

import glob

from setuptools import Extension, setup


def native(room: str, name: str) -> Extension:
    """A compiled module of a `room`, with the inline functions that lie beside it."""
    folder = f"geventrelay/{room}/native"
    parts = sorted(glob.glob(f"{folder}/*.px[di]"))
    return Extension(f"geventrelay.{room}.native.{name}", [f"{folder}/{name}.pyx"], depends=parts, optional=True)


setup(
    ext_modules=[
        # Optional: without a compiler the install succeeds, and the burst in Python serves. No include directories and
        # no libraries: libzmq's functions are looked up in what pyzmq has loaded.
        native("engine", "libzmq"),
        native("engine", "burst"),
        native("switch", "core"),
        # Plain Python too, and used as such where these could not be built.
        Extension("geventrelay.engine.readiness", ["geventrelay/engine/readiness.py"], optional=True),
        Extension("geventrelay.engine.pump", ["geventrelay/engine/pump.py"], optional=True),
    ],
)
