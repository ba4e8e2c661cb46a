"""`python -m understudy`: the command line."""

import sys

from .supervision.cli import main

sys.exit(main())
