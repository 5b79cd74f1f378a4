"""From a finding to a person."""
