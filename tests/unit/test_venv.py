"""The parts of `scripts/_venv.py` that decide: what to type on a bare machine, and when to build anew."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import _venv
import pytest


@pytest.fixture
def on_debian(monkeypatch):
    monkeypatch.setattr(_venv.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(_venv.sys, "executable", "/usr/bin/python3")
    monkeypatch.setattr(_venv.os, "geteuid", lambda: 1000)


def test_a_python_without_venv_is_answered_with_the_line_to_type_first(monkeypatch, on_debian, capsys):
    monkeypatch.setattr(_venv, "no_venv", lambda: "No module named 'ensurepip'")
    with pytest.raises(SystemExit):
        _venv.check_interpreter(may_install=False)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("sudo apt-get update && sudo apt-get install -y python3-venv    # /usr/bin/python3 cannot ")
    assert "--install" in line


def test_another_python_has_a_package_of_its_own_and_root_needs_no_sudo(monkeypatch, on_debian):
    monkeypatch.setattr(_venv.sys, "executable", "/usr/bin/python3.12")
    monkeypatch.setattr(_venv.os, "geteuid", lambda: 0)
    assert _venv.apt_commands()[1] == ["apt-get", "install", "-y", "python3.12-venv"]


def test_it_is_installed_where_that_was_asked_for(monkeypatch, on_debian):
    states, done = iter(["No module named 'venv'", ""]), []
    monkeypatch.setattr(_venv, "no_venv", lambda: next(states))
    monkeypatch.setattr(_venv, "call", lambda command, purpose: done.append(command))
    _venv.check_interpreter(may_install=True)
    assert done == _venv.apt_commands()


def test_without_apt_the_advice_names_what_is_missing(monkeypatch):
    monkeypatch.setattr(_venv.shutil, "which", lambda name: None)
    assert "venv and ensurepip" in _venv.venv_advice("No module named 'venv'")


def test_a_proxy_with_a_certificate_of_its_own_is_one_line(capfd):
    said = "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"
    with pytest.raises(SystemExit):
        _venv.call([sys.executable, "-c", f"print({said!r}); raise SystemExit(1)"], "install geventrelay")
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("could not install geventrelay: pip does not trust the certificate ")
    assert "PIP_CERT=FILE" in line


def test_without_a_network_it_is_one_line(capfd):
    said = "WARNING: Retrying: Failed to establish a new connection: [Errno 101] Network is unreachable"
    with pytest.raises(SystemExit):
        _venv.call([sys.executable, "-c", f"print({said!r} * 24); raise SystemExit(1)"], "install the package")
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("could not install the package: no package index can be reached")


def test_any_other_failure_is_told_as_it_was(capfd):
    with pytest.raises(SystemExit):
        _venv.call([sys.executable, "-c", "print('no space left'); raise SystemExit(3)"], "build the package")
    first, second = capfd.readouterr().err.splitlines()
    assert first == "no space left"
    assert second.startswith("could not build the package: ")
    assert second.endswith("ended with 3")


def test_a_folder_that_may_only_be_read_is_told(monkeypatch, capsys):
    monkeypatch.setattr(_venv.os, "access", lambda path, mode: False)
    with pytest.raises(SystemExit):
        _venv.check_writable(Path("/usr/share/geventrelay/.venv"))
    assert capsys.readouterr().err.startswith("cannot write to /usr/share; name a folder that is yours: --folder DIR")


def test_a_compiler_that_comes_later_is_noticed(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", str(tmp_path / "cc"))
    assert _venv.compiler() == "none"
    (tmp_path / "cc").write_text("#!/bin/sh\necho cc 1.0\n")
    (tmp_path / "cc").chmod(0o755)
    (tmp_path / "Python.h").touch()
    monkeypatch.setattr(_venv.sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    with_it = _venv.compiler()
    assert with_it != "none"
    (tmp_path / "Python.h").unlink()
    assert _venv.compiler() == "none"


def test_the_copy_of_a_tree_that_may_only_be_read_can_be_built_in(tmp_path):
    inner = tmp_path / "tree" / "package"
    inner.mkdir(parents=True)
    (inner / "module.py").touch(0o444)
    inner.chmod(0o555)
    _venv.make_writable(tmp_path / "tree")
    assert inner.stat().st_mode & 0o200
    assert (inner / "module.py").stat().st_mode & 0o200


def test_both_commands_take_the_folder_and_the_installation():
    scripts = Path(_venv.__file__).parent
    told = subprocess.run(
        [sys.executable, scripts / "quickstart", "--help"], capture_output=True, text=True, timeout=30
    )
    assert "--folder DIR" in told.stdout
    assert "--install" in told.stdout
    assert "--install) install=(--install)" in (scripts / "test").read_text()


def test_help_of_the_tests_installs_nothing_and_names_every_option():
    script = Path(_venv.__file__).parent / "test"
    for flag in ("--help", "-h"):
        done = subprocess.run(["bash", script, flag], capture_output=True, text=True, timeout=10, check=True)
        assert done.stderr == ""
        assert done.stdout.startswith("Install the package and run the whole suite:  scripts/test ")
        assert not [
            one for one in ("--install", "--folder", "PYTHON", "TEST_JOBS", "-k NAME") if one not in done.stdout
        ]
