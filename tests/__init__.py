"""Tests by kind of proof; a package, so that the kinds can share what they put into clusters."""
