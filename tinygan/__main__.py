"""``python -m tinygan`` is the command ``tinygan``."""

import sys


def main() -> int:
    """Run one command; handle Ctrl-C even during imports."""
    try:
        from tinygan.cli import main as run

        return run()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
