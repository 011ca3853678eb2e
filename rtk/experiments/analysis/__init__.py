"""What the rows of a sweep say: summaries, comparisons, costs, difficulty, confidence, and rows worth reading."""
