"""How the examples of each task are made, one file a task: ``make(sources)`` of held-out rows, or
``read(upstream, split, language)`` of published files."""
