"""Make a virtual environment that holds this tree's package, or find it made and up to date.

usage: python3 scripts/_venv.py FOLDER EXTRAS     prints the environment's bin folder

Standard library only, and no newer syntax than it needs: this is what runs first on a bare machine.
The package is built into a wheel from a clean copy of the tree. Building in place would leave build/lib
behind, and a module that was deleted since would come back out of it.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

REPO = Path(__file__).resolve().parent.parent
PACKAGE = "geventrelay"
METADATA = ("setup.cfg", "setup.py", "pyproject.toml", "MANIFEST.in", "README.rst", "LICENSE")
OLDEST = (3, 10)
# Not the python of an environment: that may be the very one which is to be made anew.
PYTHON = os.path.realpath(sys.executable)


def prepare(folder: str, extras: str, tree: Path = REPO) -> Path:
    """Return the bin folder of the environment `folder`, which has the package and `extras` installed.

    `tree` is where the package's sources are: this repository, or another commit of it.
    """
    check_interpreter()
    environment = REPO / folder
    bin_folder, stamp = environment / "bin", environment / "geventrelay.stamp"
    base, sources = fingerprint_base(extras, tree), fingerprint_tree(tree)
    with OneAtATime():
        found = stamp.read_text().splitlines() if stamp.exists() else []
        if found != [base, sources]:
            # Standard error, because standard output is for the answer.
            print("setting up %s with %s ..." % (environment.name, PYTHON), file=sys.stderr, flush=True)
            if found:
                stamp.unlink()  # or an interrupted set-up would look finished
            if found[:1] != [base]:
                call([PYTHON, "-m", "venv", "--clear", str(environment)], "make " + environment.name)
            install(bin_folder / "python", extras, tree)
            stamp.write_text(base + "\n" + sources + "\n")
    return bin_folder


def check_interpreter() -> None:
    """Exit with one line if this Python cannot do it."""
    if sys.version_info < OLDEST:
        fail(
            "geventrelay needs Python %d.%d or newer; %s is %d.%d (name a newer one: python3.12 %s)"
            % ((*OLDEST, sys.executable, *sys.version_info[:2], sys.argv[0]))
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        fail(
            "%s cannot make virtual environments (%s); install its venv package, for example: "
            "apt install python3-venv" % (sys.executable, error)
        )


def fingerprint_base(extras: str, tree: Path) -> str:
    """What the environment is made of besides the package; another one means to start afresh."""
    constraint = os.environ.get("PIP_CONSTRAINT")
    settings = [tree / "setup.cfg"] + ([Path(constraint)] if constraint else [])
    return "%s %s [%s] %s" % (PYTHON, sys.version.split()[0], extras, digest(settings, tree))


def fingerprint_tree(tree: Path) -> str:
    """What the package is built from."""
    package = sorted(path for path in (tree / PACKAGE).rglob("*") if path.suffix != ".pyc")
    return digest([tree / name for name in METADATA] + package, tree)


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
        call([*pip, "wheel", "--no-deps", "--wheel-dir", str(wheels), str(tree)], "build the package")
        wheel = next(wheels.glob("*.whl"))
        call([*pip, "install", "%s[%s]" % (wheel, extras)], "install the package")
        # An earlier build of the same version counts as installed, so pip needs --force-reinstall.
        call([*pip, "install", "--no-deps", "--force-reinstall", str(wheel)], "install the package")


def call(command: "list[str]", purpose: str) -> None:
    """Run a command; a failure ends this program with one line after whatever the command itself said."""
    status = subprocess.call(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    if status != 0:
        fail("could not %s: '%s' ended with %d" % (purpose, " ".join(command), status))


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
    if len(sys.argv) != 3:
        print(__doc__.splitlines()[2], file=sys.stderr)
        raise SystemExit(2)
    try:
        print(prepare(sys.argv[1], sys.argv[2]))
    except KeyboardInterrupt:
        fail("interrupted")
