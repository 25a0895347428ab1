"""The foveal network: mouth and eyes drawn at their own resolution, from the picture and other views of the person."""
