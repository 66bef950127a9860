"""The models: their table, their files, and the generators in memory."""
