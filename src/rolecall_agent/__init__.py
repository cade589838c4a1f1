"""What runs on machines: standard library only, Python 3.9 or newer, imports nothing from rolecall."""
