"""`python -m quantgate.cli`, where the script is not on the path."""

import sys

from quantgate.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
