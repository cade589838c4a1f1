"""The program on the machines: it places the files of ZeroTier's daemon, and brings a controller to what is declared.

Standard library only, Python 3.9 and newer. `zerotier` has the commands.
"""
