"""Action temporal relevance: each input frame's part of each output time step (ATR paper, 3.2).

In come a forward pass and a target; out goes the matrix [B, T', N] with its lengths, exact. Rows come down from the
logits, frames' fractions go up from the clip, and cost_model picks the step at which contraction joins them.
Called through handlers.relevance by the explainer `atr` and by exporting.
"""
