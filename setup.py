"""The way in for tools that ask for a setup.py; all but the extension is in setup.cfg, which cannot hold one."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        # Optional: without a compiler the install succeeds, and the burst in Python serves. No include directories and
        # no libraries: libzmq's functions are looked up in what pyzmq has loaded.
        Extension("geventrelay.engine.native.burst", ["geventrelay/engine/native/burst.pyx"], optional=True),
        # Plain Python too, and used as such where these could not be built.
        Extension("geventrelay.engine.readiness", ["geventrelay/engine/readiness.py"], optional=True),
        Extension("geventrelay.engine.pump", ["geventrelay/engine/pump.py"], optional=True),
    ],
)
