"""How a sweep runs: its arms, what it asks, what it will take, and the rows that come of it."""
