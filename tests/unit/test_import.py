"""Importing the package changes nothing for anybody else, and loads no more than what is used."""

from __future__ import annotations

import ast
import inspect
import pickle
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import geventrelay
import geventrelay.settings

PATCHES_NOTHING = """
import socket, threading, time, select, signal
before = (socket.socket, threading.Thread.start, time.sleep, select.select, signal.signal)
handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
import logging
root = list(logging.getLogger().handlers)
from geventrelay import *
import geventrelay, geventrelay.cli
from gevent import monkey
assert before == (socket.socket, threading.Thread.start, time.sleep, select.select, signal.signal)
assert handlers == {number: signal.getsignal(number) for number in handlers}
assert not any(monkey.is_module_patched(name) for name in ("socket", "threading", "time", "select", "os"))
assert logging.getLogger().handlers == root
assert threading.active_count() == 1
"""

LOADS_NO_GEVENT = """
import sys
import geventrelay, geventrelay.settings, geventrelay.settings.file.load, geventrelay.recording
import geventrelay.errors, geventrelay.log, geventrelay.endpoints, geventrelay.version, geventrelay.terms
from geventrelay import Endpoint, SettingsError, Streamer, WhenFull
Streamer(frontend="tcp://127.0.0.1:0", backend="tcp://127.0.0.1:0")
loaded = {"gevent", "greenlet", "zmq.green"} & set(sys.modules)
assert not loaded, loaded
"""

LOADS_NOTHING = """
import sys
import geventrelay
assert not [name for name in sys.modules if name.startswith("geventrelay.")]
dir(geventrelay), hasattr(geventrelay, "no_such_name")
assert not [name for name in sys.modules if name.startswith("geventrelay.")]
"""

OPTIONS_OF_A_FEATURE = """
import sys
from geventrelay.settings import option, checks
loaded = [name for name in sys.modules if name.startswith("geventrelay.settings.")]
assert not {"geventrelay.settings.device", "geventrelay.settings.server"} & set(loaded), loaded
"""


@pytest.mark.slow
@pytest.mark.parametrize("program", [PATCHES_NOTHING, LOADS_NO_GEVENT, LOADS_NOTHING, OPTIONS_OF_A_FEATURE])
def test_importing_patches_nothing_starts_nothing_and_loads_what_is_used(program):
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


LAZY = pytest.mark.parametrize("package", [geventrelay, geventrelay.settings], ids=["geventrelay", "settings"])


@LAZY
def test_every_exported_name_is_loaded_from_the_module_that_type_checkers_see(package):
    tree = ast.parse(Path(package.__file__).read_text(encoding="utf-8"))
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: "." * node.level + str(node.module)
        for node in checked.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == package._MODULES
    assert sorted(package.__all__) == sorted(seen)


@LAZY
def test_an_exported_name_is_the_one_of_its_module_and_is_looked_up_once(package):
    for name, module in package._MODULES.items():
        value = getattr(package, name)
        assert value is getattr(import_module(module, package.__name__), name)
        assert vars(package)[name] is value


def test_help_dir_and_star_show_every_exported_name():
    assert set(geventrelay.__all__) <= set(dir(geventrelay))
    assert {name for name, _ in inspect.getmembers(geventrelay)} >= set(geventrelay.__all__)
    text = subprocess.run(
        [sys.executable, "-m", "pydoc", "geventrelay"], capture_output=True, text=True, timeout=30, check=True
    ).stdout
    for name in geventrelay.__all__:
        assert name in text
    found: dict[str, object] = {}
    exec("from geventrelay import *", found)
    assert set(found) - {"__builtins__"} == set(geventrelay.__all__)


def test_an_unknown_name_is_an_attribute_error_that_names_it():
    with pytest.raises(AttributeError, match="module 'geventrelay' has no attribute 'Devise'"):
        _ = geventrelay.Devise
    with pytest.raises(ImportError, match="Devise"):
        exec("from geventrelay import Devise")


@pytest.mark.parametrize("value", [geventrelay.WhenFull.DROP, geventrelay.State.RUNNING, geventrelay.Drop.NO_PEER])
def test_enums_are_pickled_by_the_module_that_defines_them(value):
    assert pickle.loads(pickle.dumps(value)) is value
