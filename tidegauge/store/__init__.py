"""Rows in, rows out: the only code that speaks SQL."""
