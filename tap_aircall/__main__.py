"""The command `tap-aircall`."""

import os
import signal
import sys
from pathlib import Path


def main() -> None:
    """Run the command; a signal that comes while it is being loaded just ends it, since nothing has begun."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.__stderr__ is None:
        # It was closed. The next file or connection would take its number, and get the lines that are meant for it.
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for the whole run
    from tap_aircall.tap import TapAircall  # noqa: PLC0415 - takes its time

    TapAircall.cli()


if __name__ == "__main__":
    main()
