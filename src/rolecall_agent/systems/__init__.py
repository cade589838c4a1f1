"""The machines that an agent can work on: a real one, and a recorded one for tests and `dir:` targets."""
