"""Values of ZeroTier that are known before any daemon runs: identities, addresses, moons."""
