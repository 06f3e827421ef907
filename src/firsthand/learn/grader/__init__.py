"""The grader: it runs an exercise in a process of its own and says in words what does not hold, and why."""
