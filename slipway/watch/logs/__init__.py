"""`inv logs`: what all services of a stack said, on all hosts, in the order of time."""
