"""Procedural clips with everything known about them: a seed comes in; a clip, its class, the exact pixels that move and
the frames of the movement go out. Needs the extra `media`.

The bundled models were trained on such clips, and `actionlens evaluate --generated` measures explanations on them.
"""
