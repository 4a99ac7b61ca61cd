"""What is going on: status, releases, outcomes, for people and for programs."""
