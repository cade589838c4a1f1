"""The program on the machines, which sets up the interfaces of a mesh.

Standard library only, Python 3.9 and newer. `mesh` has the commands, `declared` what is to be, `present` what there
is, and `changes` brings the one to the other.
"""
