"""Each claim of the notes as a small experiment that can fail: ``python -m project.lessons all``."""
