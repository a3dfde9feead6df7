"""`python -m review`."""

import sys

try:
    from review.cli import main

    main()
except KeyboardInterrupt:  # so early that nothing had begun
    sys.exit(130)
