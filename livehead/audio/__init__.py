"""Sound processing: resampling, the drivers' audio buffer, the delay line, and PortAudio's devices."""
