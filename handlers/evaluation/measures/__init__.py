"""One file per measure: its pure functions on tensors, and MEASURES, which the registry finds. The evaluation of a clip
calls them with a Subject and attributions and gets a Measured back.
"""
