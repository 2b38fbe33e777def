"""``python -m geventrelay``, and the program ``geventrelay``."""

import sys

from .first_process import end_at_sigterm


def start() -> int:
    """Run the command line; returns its exit code."""
    end_at_sigterm()
    # Here, since the imports take most of the time of a start.
    try:
        from .cli import main
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return main()


if __name__ == "__main__":
    sys.exit(start())
