"""The command `tap-aircall`."""

import signal


def main() -> None:
    """Run the command; a signal that comes while it is being loaded just ends it, since nothing has begun."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from tap_aircall.tap import TapAircall  # noqa: PLC0415 - takes its time

    TapAircall.cli()


if __name__ == "__main__":
    main()
