"""Encoded clips and images come in, with limits; uint8 RGB frames at the model's size, or for viewing, go out.

All of it is synchronous: the data plane, streams and jobs call it on threads, and the command line for its drawings.
"""
