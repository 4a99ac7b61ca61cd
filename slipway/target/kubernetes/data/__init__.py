"""A stack's data on a cluster: the agent that does it on hosts does it in a pod. Here are the pods, and what needs more."""
