"""The commands of `actionlens`, one file each. What is heavy to import is imported when its command runs."""
