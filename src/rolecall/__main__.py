"""The program: ``rolecall``, or ``python -m rolecall``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the program. Ctrl-C ends it with one line and exit status 130 at any time, also while it loads."""
    try:
        from rolecall.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("aborted\n")
        sys.exit(130)
    finally:
        import gc
        import signal

        gc.freeze()  # the interpreter would look for cycles before it ends
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left that could be aborted


if __name__ == "__main__":
    main()
