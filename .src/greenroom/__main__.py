"""`python -m greenroom`: the command line."""

import sys

from .supervision.cli import main

sys.exit(main())
