"""`python -m gateway.keys`: the key service."""

import sys

from gateway.keys.run import main

sys.exit(main())
