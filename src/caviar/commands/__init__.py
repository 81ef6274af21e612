"""The sub-commands of ``caviar``, a file a subject. Data goes to stdout, messages to stderr."""
