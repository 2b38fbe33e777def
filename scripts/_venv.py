"""Make a virtual environment that holds this tree's package, or find it made and up to date.

usage: python3 scripts/_venv.py [--install] FOLDER EXTRAS     prints the environment's bin folder

--install has the system's package manager install what Python lacks for it.

Standard library only, and no newer syntax than it needs: this is what runs first on a bare machine.
The package is built into a wheel from a clean copy of the tree. Building in place would leave build/lib
behind, and a module that was deleted since would come back out of it.
"""

import fcntl
import hashlib
import os
import shlex
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import NoReturn

REPO = Path(__file__).resolve().parent.parent
PACKAGE = "geventrelay"
METADATA = ("setup.cfg", "setup.py", "pyproject.toml", "MANIFEST.in", "README.rst", "LICENSE")
OLDEST = (3, 10)
# What pip and apt-get say where there is no network.
NO_NETWORK = (
    "Failed to establish a new connection", "Temporary failure in name resolution", "Name or service not known",
    "Network is unreachable", "ConnectTimeoutError", "ProxyError", "Temporary failure resolving",
)  # fmt: skip
# Not the python of an environment: that may be the very one which is to be made anew.
PYTHON = os.path.realpath(sys.executable)


def prepare(folder: str, extras: str, tree: Path = REPO, may_install: bool = False) -> Path:
    """Return the bin folder of the environment `folder`, which has the package and `extras` installed.

    `folder` may be absolute; else it is in this repository. `tree` is where the package's sources are: this
    repository, or another commit of it. `may_install`: whether to install what Python lacks for it.
    """
    check_interpreter(may_install)
    environment = REPO / folder
    bin_folder, stamp = environment / "bin", environment / "geventrelay.stamp"
    check_writable(environment)
    base, sources = fingerprint_base(extras, tree), fingerprint_tree(tree)
    with OneAtATime():
        found = stamp.read_text().splitlines() if stamp.exists() else []
        if found != [base, sources]:
            # Standard error, because standard output is for the answer.
            print(
                "setting up %s with %s; the first time takes a minute or more ..." % (environment.name, PYTHON),
                file=sys.stderr,
                flush=True,
            )
            if found:
                stamp.unlink()  # or an interrupted set-up would look finished
            if found[:1] != [base]:
                call([PYTHON, "-m", "venv", "--clear", str(environment)], "make " + environment.name)
            install(bin_folder / "python", extras, tree)
            stamp.write_text(base + "\n" + sources + "\n")
    return bin_folder


def check_interpreter(may_install: bool) -> None:
    """Exit with one line if this Python cannot do it; with `may_install`, have it do so."""
    if sys.version_info < OLDEST:
        fail(
            "geventrelay needs Python %d.%d or newer; %s is %d.%d (name a newer one: python3.12 %s)"
            % ((*OLDEST, sys.executable, *sys.version_info[:2], sys.argv[0]))
        )
    missing = no_venv()
    if missing and may_install and shutil.which("apt-get"):
        for words in apt_commands():
            call(words, "install what Python lacks")
        missing = no_venv()
    if missing:
        fail(venv_advice(missing))


def no_venv() -> str:
    """Why this Python cannot make virtual environments; empty if it can."""
    # In a process of its own: what this one found missing, it may find missing for ever.
    found = subprocess.run([PYTHON, "-c", "import ensurepip, venv"], stderr=subprocess.PIPE, text=True, check=False)
    return (found.stderr.strip().splitlines() or ["it does not run"])[-1] if found.returncode else ""


def apt_commands() -> "list[list[str]]":
    """What installs Python's venv package on Debian and its kin."""
    # Of another python than the system's own, the package has that one's name.
    name = Path(sys.executable).name
    package = "%s-venv" % (name if name.startswith("python3") else "python3")
    sudo = ["sudo"] if os.geteuid() != 0 else []
    return [[*sudo, "apt-get", "update"], [*sudo, "apt-get", "install", "-y", package]]


def venv_advice(missing: str) -> str:
    """What to type, first; then why."""
    reason = "%s cannot make virtual environments: %s" % (sys.executable, missing)
    if shutil.which("apt-get") is None:
        return reason + "; install the package of this system that has Python's modules venv and ensurepip"
    line = " && ".join(" ".join(words) for words in apt_commands())
    return "%s    # %s. Or add --install to your command." % (line, reason)


def check_writable(environment: Path) -> None:
    """Exit with one line if the environment could not be made there."""
    existing = environment
    while not existing.exists():
        existing = existing.parent
    if not os.access(str(existing), os.W_OK):
        fail("cannot write to %s; name a folder that is yours: --folder DIR" % existing)


def fingerprint_base(extras: str, tree: Path) -> str:
    """What the environment is made of besides the package; another one means to start afresh."""
    constraint = os.environ.get("PIP_CONSTRAINT")
    settings = [tree / "setup.cfg"] + ([Path(constraint)] if constraint else [])
    return "%s %s [%s] %s" % (PYTHON, sys.version.split()[0], extras, digest(settings, tree))


def fingerprint_tree(tree: Path) -> str:
    """What the package is built from."""
    package = sorted(path for path in (tree / PACKAGE).rglob("*") if path.suffix != ".pyc")
    return "%s %s" % (digest([tree / name for name in METADATA] + package, tree), compiler())


def compiler() -> str:
    """What compiles the native burst, or "none"; with one that came later, the package is to be built again."""
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    headers = Path(sysconfig.get_paths()["include"], "Python.h")
    if not command or shutil.which(command[0]) is None or not headers.exists():
        return "none"
    told = subprocess.run([command[0], "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return hashlib.sha256(told.stdout).hexdigest()[:16] if told.returncode == 0 else "none"


def digest(paths: "list[Path]", tree: Path) -> str:
    """One line that changes with any file's content, or name within `tree`."""
    total = hashlib.sha256()
    for path in paths:
        if path.is_file():
            content = path.read_bytes()
            name = os.path.relpath(str(path), str(tree)) if tree in path.parents else str(path)
            total.update(("%s %d\n" % (name, len(content))).encode() + content)
    return total.hexdigest()


def install(python: Path, extras: str, sources: Path) -> None:
    """Build the wheel in a temporary folder and install it with its extras."""
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", "-qq"]
    with tempfile.TemporaryDirectory() as scratch:
        tree, wheels = Path(scratch, "tree"), Path(scratch, "wheels")
        tree.mkdir()
        for name in METADATA:
            if (sources / name).exists():
                shutil.copy(str(sources / name), str(tree))
        shutil.copytree(
            str(sources / PACKAGE), str(tree / PACKAGE), ignore=shutil.ignore_patterns("__pycache__", "*.so")
        )
        make_writable(tree)
        call([*pip, "wheel", "--no-deps", "--wheel-dir", str(wheels), str(tree)], "build the package")
        wheel = next(wheels.glob("*.whl"))
        call([*pip, "install", "%s[%s]" % (wheel, extras)], "install the package")
        # An earlier build of the same version counts as installed, so pip needs --force-reinstall.
        call([*pip, "install", "--no-deps", "--force-reinstall", str(wheel)], "install the package")


def make_writable(tree: Path) -> None:
    """A copy of what may only be read may only be read, too, and building writes beside the sources."""
    for path in [tree, *tree.rglob("*")]:
        path.chmod(path.stat().st_mode | stat.S_IWUSR)


def call(command: "list[str]", purpose: str) -> None:
    """Run a command; a failure ends this program with one line, after what the command itself said."""
    # Without a network pip would try five times for each package.
    env = dict(os.environ, PIP_RETRIES=os.environ.get("PIP_RETRIES", "2"))
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, check=False
    )
    if done.returncode == 0:
        return
    said = done.stdout.decode(errors="replace")
    if any(sign in said for sign in NO_NETWORK):
        fail("could not %s: no package index can be reached; it needs a network, or pip's PIP_INDEX_URL" % purpose)
    if "CERTIFICATE_VERIFY_FAILED" in said:
        fail("could not %s: pip does not trust the certificate of the package index or of a proxy before it; "
             "PIP_CERT=FILE names a file of certificates to trust" % purpose)  # fmt: skip
    print(said, end="", file=sys.stderr)
    fail("could not %s: '%s' ended with %d" % (purpose, " ".join(command), done.returncode))


class OneAtATime:
    """Two runs that start together must not build the same environment: the second waits for the first."""

    def __enter__(self) -> None:
        self.handle = os.open(str(REPO), os.O_RDONLY)
        fcntl.flock(self.handle, fcntl.LOCK_EX)

    def __exit__(self, *exception: object) -> None:
        os.close(self.handle)


def fail(line: str) -> NoReturn:
    """End with one line on standard error."""
    print(line, file=sys.stderr)
    raise SystemExit(1)


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--install"]
    if len(words) != 2:
        print(__doc__.splitlines()[2], file=sys.stderr)
        raise SystemExit(2)
    try:
        print(prepare(words[0], words[1], may_install=len(words) < len(sys.argv) - 1))
    except KeyboardInterrupt:
        fail("interrupted")
