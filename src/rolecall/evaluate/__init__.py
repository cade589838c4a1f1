"""From inventory and services to members, steps, exports and configurations. No network, no clock, no secrets."""
