"""`python -m jaxgan.cli`, where the command is not on the path."""

import sys

from jaxgan.cli import main

sys.exit(main())
