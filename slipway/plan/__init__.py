"""Plans: operations as values, a pure planner for each verb, and the executor, the only place with side effects."""
