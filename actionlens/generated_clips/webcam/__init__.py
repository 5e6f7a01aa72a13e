"""Generated clips nearer to what a webcam sees, with an eleventh class, *something else*: people who nod and lean,
hands with fingers that open and close, cameras that are held, low light, automatic exposure, compression, black bars.

They stand beside those of `actionlens.generated_clips.clips`, whose seeds keep their bytes.
"""
