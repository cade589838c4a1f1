"""Stage 6: targets, the session with one machine's agent, and a run over many machines."""
