"""`python -m gateway.agent`: the agent."""

import sys

from gateway.agent.run import main

sys.exit(main())
