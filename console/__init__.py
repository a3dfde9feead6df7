"""What people's commands share: running programs, progress, errors, waiting. It imports nothing of ours."""
