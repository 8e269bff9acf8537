"""``python -m tracejit`` is the ``tracejit`` command."""

import sys

from tracejit.tools.cli import main

if __name__ == "__main__":
    sys.exit(main())
