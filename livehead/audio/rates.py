"""The two sample rates that livehead works with."""

SOUND_RATE = 48_000
"""Hz, the rate of sound that is passed on: to output devices, recordings, streams and calls."""

DRIVER_RATE = 16_000
"""Hz, the rate of the mono sound that drivers listen to."""
