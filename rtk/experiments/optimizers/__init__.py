"""Optimisation in one call: DSPy's optimizers under a budget, what they found, and programs as JSON."""
