"""Fast convolutions and their transposes, on whole clips and on rows of a few time steps each.

In come weights, a Geometry and activations; out go activations, in one of oneDNN's layouts where that is faster.
Called by relevance.operations alone.
"""
