"""Other libraries' names for this one; nothing here does anything until it is asked to."""
