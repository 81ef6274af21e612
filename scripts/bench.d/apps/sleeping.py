"""A task that sleeps: 0.2 to 2 s, spread evenly on a log scale, so that durations vary tenfold."""

import os
import time

import hydra


@hydra.main(config_path="conf", config_name="space", version_base="1.3")
def main(config):
    start = time.time()
    time.sleep(0.2 * 10**config.u)
    with open(os.environ["BENCH_LOG"], "a") as log:
        log.write(f"{start} {time.time()}\n")
    return config.u


if __name__ == "__main__":
    main()
