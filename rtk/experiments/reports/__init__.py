"""A study as one page that loads nothing."""
