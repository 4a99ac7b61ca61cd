"""FinEasy's AI back end: an api that scores payments and serves insights, a worker that runs analyses."""
