"""Data only: what a program *is*, with printers and verifiers.  Nothing here computes."""
