"""A stand-in for the daemon of ZeroTierOne 1.14.1: it refuses, rewrites, ignores and lies as the real one was seen to.

It has the home folder, the local API, the network controller and the requests of members, but passes on no packets.
Instead of roots, it asks all nodes that `STAND_IN_NODES` lists (``HOST:PORT``, separated by commas). Other variables:

- `STAND_IN_CONTROLLER=0`: a daemon without network controller, as packages of 1.16 and later have.
- `STAND_IN_MINUTE`: seconds between two requests of a member (60).
- `STAND_IN_TAP=1`: it makes interfaces with the addresses that the member accepts; as root only.

What is not known of the real one is marked with "guess". It runs on the machines of the lab, too: Python 3.10, standard
library only.
"""
