"""Live streams: frames in, an explained window out, with every frame accounted for.

In: the messages of a stream (actionlens.v1.ExplainStreamRequest). Out: one answer per window, credit and a summary.
Called by service.rpc and, through its servicers, the gateway: they hold one StreamManager (manager), which runs a
StreamSession (session) per stream. What is thrown away when frames come too fast is in drop_policy; the ring of frames
is frame_buffer; the latency budget is budget/latency.
"""
