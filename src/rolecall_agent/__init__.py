"""What runs on the target: standard library only, Python 3.9 and newer, imports nothing of rolecall."""
