"""The commands of the command line, one a module: ``add_arguments(parser)`` and ``main(args) -> int``."""
