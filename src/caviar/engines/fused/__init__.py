"""The fused engine: many trials trained as one stacked model, each on a lane of its own.

``plan`` reads a network, ``layers`` computes it for all lanes at once, ``stacked`` holds the lanes'
parameters, ``optimizers`` updates them, ``training`` is one trial on its lane, ``stack`` advances
lanes a tick at a time, and ``engine`` fills them from a worker's inbox.
"""
