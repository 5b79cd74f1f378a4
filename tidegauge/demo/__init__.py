"""The demo: three simulated apps, a webhook receiver, and what happens between them."""
