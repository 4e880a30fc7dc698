"""What a failure began with: from what was seen, backwards through calls and services, to the line."""
