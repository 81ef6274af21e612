"""What the parts of ``sweep.yaml`` must be."""

from caviar.runs.fields import (
    FLAG,
    LIST,
    MAPPING,
    NUMBER,
    TEXT,
    WHOLE,
    Must,
    each,
    either,
    mapping_to,
    optional,
)

_DIRECTION: Must = (lambda v: v in ("minimize", "maximize"), "minimize or maximize")
SWEEP_FIELDS = {
    "n_trials": optional(WHOLE),
    "direction": optional(either(_DIRECTION, each(_DIRECTION))),
    **dict.fromkeys(
        ("metric", "study", "storage", "engine", "folder", "git_commit"), optional(TEXT)
    ),
    **dict.fromkeys(("sampler", "pruner", "executor", "versions"), optional(MAPPING)),
    "space": optional(mapping_to(either(TEXT, NUMBER, FLAG))),
    "when": optional(mapping_to(mapping_to(either(LIST, TEXT, NUMBER, FLAG)))),
    "enqueue": optional(each(MAPPING)),
    "command": optional(each(TEXT)),
    "overrides": optional(each(TEXT)),
}
