# -*- coding: klingon -*-
"""A file in an encoding that there is not."""
