"""The fused engine: many trials trained as one stacked model, each on a lane of its own.

What is computed: ``plan`` reads a network, ``layers`` computes it for all lanes at once, ``stacked``
holds the lanes' parameters, ``optimizers`` updates them, ``native`` does all that in C++ on a CPU.
Who is trained: ``training`` is one trial on its lane, ``stack`` advances lanes a tick at a time,
``groups`` decides who has a lane, ``folds`` makes one trial of several trainings, ``endings`` writes
(``files``, ``writer``) and tells how a trial ends, and ``engine`` drives them from a worker's inbox.
"""
