"""Sound between the devices: resampling, the ring that drivers hear, the delay line, PortAudio."""
