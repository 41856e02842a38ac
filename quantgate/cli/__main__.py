"""`python -m quantgate.cli`, where the script is not on the path."""

import sys

from quantgate.cli.main import main

sys.exit(main())
