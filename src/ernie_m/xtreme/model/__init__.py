"""How an encoder is fine-tuned for a task and asked: features, heads, layouts by kind of task."""
