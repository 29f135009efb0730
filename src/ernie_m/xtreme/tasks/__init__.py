"""How the examples of each task are made: one file a task, ``make(sources)`` in each."""
