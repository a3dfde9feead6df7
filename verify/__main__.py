"""`python -m verify`."""

import sys

try:
    from verify.cli import main

    main()
except KeyboardInterrupt:  # so early that nothing had begun
    sys.exit(130)
