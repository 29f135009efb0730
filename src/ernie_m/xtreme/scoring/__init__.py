"""From predictions to scores: metrics, aggregates, XTREME's files."""
