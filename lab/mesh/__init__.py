"""What is around a gateway: a mesh peer, June's orchestrator, and an Internet host."""
