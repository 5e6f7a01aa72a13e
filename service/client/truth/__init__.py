"""What is known of clips, for measuring explanations. CSV and JSON lines files and files of masks come in; messages of
ground truth go out. The command `evaluate` calls it.
"""
