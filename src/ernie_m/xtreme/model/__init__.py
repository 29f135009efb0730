"""Fine-tuning and inference by kind of task: layouts, features, heads, decoding."""
