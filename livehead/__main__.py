"""``python -m livehead`` is ``livehead``."""

import sys

from livehead.cli import main

if __name__ == "__main__":
    sys.exit(main())
