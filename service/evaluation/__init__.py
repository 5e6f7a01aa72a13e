"""Statistics of an evaluated set of clips, in numpy alone. Rows come in, one number of one clip each; means, paired
tests of the methods, the reliability of the measures and pooled curves go out. Jobs and the command `evaluate` call it.
"""
