"""A process that joins another's training, as `caviar.lightning.ranks` starts it."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import setup_globals

from caviar.base.errors import UsageError, traceback_of
from caviar.base.plain import echo
from caviar.base.security import allow, trusting_allowed
from caviar.base.signals import ASK_TO_END
from caviar.executors.task import load_task
from caviar.runs.active import ActiveRun, TrialInterrupted, activate


def main() -> None:
    """Train in the place that stdin tells of, until the training is over or its first process gone."""
    # Those are the first process's to act on; all then stop at the same epoch.
    for number in ASK_TO_END:
        signal.signal(number, signal.SIG_IGN)
    place = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    from caviar.lightning import ranks

    ranks.joined = place
    setup_globals()  # Hydra's resolvers
    HydraConfig.instance().cfg = place.hydra
    status = 0
    try:
        allow(place.config.get("allow"))
        task = load_task(place.source)
        run = ActiveRun(place.folder, resume_from=place.resume_from)
        with trusting_allowed(), activate(run):
            task(place.config)
    except (ranks.JoinedTraining, TrialInterrupted):
        pass
    except UsageError as error:
        echo(f"error: {error}", file=sys.stderr)
        status = 2
    except BaseException as error:
        echo(traceback_of(error), file=sys.stderr)
        status = 1
    sys.stderr.flush()
    os._exit(status)  # torch takes itself apart for seconds else


def _end_with_the_first() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)
