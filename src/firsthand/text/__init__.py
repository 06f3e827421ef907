"""Text: from raw sources to clean documents, split for training and validation."""
