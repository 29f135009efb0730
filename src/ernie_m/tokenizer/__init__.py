"""SentencePiece training, vocabulary layout and encoded shards."""
