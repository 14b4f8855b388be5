"""`python -m bulssi`: the command line."""

import sys

from bulssi.cli import main

if __name__ == "__main__":
    sys.exit(main())
