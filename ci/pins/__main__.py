"""`python -m ci.pins --check`: whether all files name the same versions."""

import sys

from ci.vendors.agreement import main

sys.exit(main(sys.argv[1:]))
