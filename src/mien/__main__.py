"""The command ``mien``, also as ``python -m mien``."""

import sys

try:
    from mien.cli.main import main as main
except KeyboardInterrupt:  # Ctrl-C ends it in one line from the start
    sys.stderr.write("mien: Stopped. [stopped]\n")
    sys.exit(130)

if __name__ == "__main__":
    main()
