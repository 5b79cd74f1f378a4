"""One step each; a step imports nothing of Tidegauge."""
