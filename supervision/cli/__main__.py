"""`python -m understudy.supervision.cli`."""

import sys

from . import main

sys.exit(main())
