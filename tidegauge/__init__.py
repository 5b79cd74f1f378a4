"""The words, the tables and the settings that every process shares."""
