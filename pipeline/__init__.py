"""What GitHub's workflows need of an environment: whether it is there, the login that it makes, a trial of both."""
