"""What several measures share: maps prepared to voxels or to frames, seeded ranks, blank clips, scores of perturbed
clips in batches. Tensors in, tensors out; the measures call it.
"""
