"""Facts without code: tasks, languages, published scores, deviations from the paper."""
