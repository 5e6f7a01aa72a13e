"""Measures how good explanations are. Clips with attributions (and what is known to be true of them) come in; numbers,
curves and reasons for what was left out go out. `handlers.wire` calls it for the job method `evaluate`; a notebook
calls the measures' functions, which are pure functions on tensors, for any module.
"""
