"""The services that come with Rolecall. Each uses `rolecall.service` and nothing else of it."""
