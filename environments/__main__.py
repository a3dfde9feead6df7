"""`python -m environments`."""

import sys

try:
    from environments.cli import main

    main()
except KeyboardInterrupt:  # so early that nothing had begun
    sys.exit(130)
