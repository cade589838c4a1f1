"""Reaching machines: transports, the conversation with one agent, and a switch over many machines."""
