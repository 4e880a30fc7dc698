"""The shop's front door: what browsers and the till talk to."""
