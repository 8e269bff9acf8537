"""From a Program to a Plan: the passes, one file each; the list of them is ``pipeline.py``."""
