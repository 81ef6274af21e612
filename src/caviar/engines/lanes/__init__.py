"""The fused engine: many trials trained side by side, each on a lane of its own.

``training`` is one trial on its lane, ``stack`` advances lanes a tick at a time, ``groups`` decides who
has a lane, ``folds`` makes one trial of several trainings, ``endings`` writes (``run_folder``, ``writer``)
and tells how a trial ends, ``calibration`` measures whether lanes pay, and ``engine`` drives them from a
worker's inbox. What steps a stack is in the rooms ``stacked`` and ``native``.
"""
