"""`python -m draggan.web`: the same as `draggan web`."""

import sys

from draggan.cli import main

sys.exit(main(["web", *sys.argv[1:]]))
