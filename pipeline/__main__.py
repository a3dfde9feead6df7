"""`python -m pipeline`."""

import sys

try:
    from pipeline.cli import main

    main()
except KeyboardInterrupt:  # so early that nothing had begun
    sys.exit(130)
