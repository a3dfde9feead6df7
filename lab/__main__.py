"""`python -m lab`."""

import sys

try:
    from lab.cli import main

    main()
except KeyboardInterrupt:  # so early that nothing had begun
    sys.exit(130)
