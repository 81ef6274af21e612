"""What the parts of ``sweep.yaml`` must be."""

from caviar.runs.fields import (
    FLAG,
    LIST,
    MAPPING,
    NUMBER,
    TEXT,
    WHOLE,
    each,
    either,
    mapping_to,
    optional,
)

SWEEP_FIELDS = {
    "n_trials": optional(WHOLE),
    "metric": optional(either(TEXT, each(TEXT))),
    # "direction" is looked at by `caviar.base.direction`: a sweep without one has trials to show.
    **dict.fromkeys(("study", "storage", "engine", "folder", "git_commit"), optional(TEXT)),
    **dict.fromkeys(("sampler", "pruner", "executor", "versions"), optional(MAPPING)),
    "space": optional(mapping_to(either(TEXT, NUMBER, FLAG))),
    "when": optional(mapping_to(mapping_to(either(LIST, TEXT, NUMBER, FLAG)))),
    "enqueue": optional(each(MAPPING)),
    "command": optional(each(TEXT)),
    "overrides": optional(each(TEXT)),
}
