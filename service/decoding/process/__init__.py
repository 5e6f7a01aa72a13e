"""Decoding in a process of its own, so that a fault of a decoder's library ends that process and not the service.

In: clips, pictures and frames as clients send them. Out: pixels, or the domain error that decoding here would raise.
The data plane, streams, downloads and the job worker call `decoder`; nothing else knows where decoding happens.
"""
