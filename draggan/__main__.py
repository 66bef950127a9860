"""`python -m draggan`: the command line."""

import sys

from draggan.cli import main

sys.exit(main())
