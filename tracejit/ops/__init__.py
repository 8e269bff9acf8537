"""Every first-order primitive, one family a file."""
