"""What every room stands on: errors, configs, security, messages, statistics."""
