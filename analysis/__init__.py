"""Rows to alerts: everything that runs on a schedule."""
