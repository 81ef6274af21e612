"""A task that does nothing, so that all the time is the sweep's."""

import hydra


@hydra.main(config_path="conf", config_name="space", version_base="1.3")
def main(config):
    return config.u**2 + config.lr


if __name__ == "__main__":
    main()
