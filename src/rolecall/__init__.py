"""Declare a distributed service once; every machine plays its role."""

__version__ = "0.1.0"
