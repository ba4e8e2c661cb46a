"""`python -m greenroom.supervision.cli`."""

import sys

from . import main

sys.exit(main())
