"""`python -m greenroom`: the command line."""

import sys

from .supervision.cli.app import main

sys.exit(main())
