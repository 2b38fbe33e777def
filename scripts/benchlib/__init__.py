"""The parts of ``scripts/bench``: one noun per module.

Where pyzmq is missing, importing this starts ``scripts/bench`` again in the .venv that scripts/quickstart made. Its
children are left where they are: each of them is to run in the environment that it was started in.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

_VENV = Path(__file__).resolve().parent.parent.parent / ".venv"
_missing = [name for name in ("zmq", "gevent", "docopt") if find_spec(name) is None]
if _missing and Path(sys.argv[0]).name == "bench":
    _python = _VENV / "bin" / "python"
    if not _python.exists() or Path(sys.prefix) == _VENV:
        sys.exit(f"not installed: {', '.join(_missing)}; run scripts/quickstart once, it makes .venv with them")
    os.execv(_python, [str(_python), *sys.argv])
