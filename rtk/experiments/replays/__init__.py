"""What the attempts already drawn say: policies replayed, curves over all choices of k; no model is asked."""
