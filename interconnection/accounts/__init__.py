"""Accounts: people, roles, territories, second factor, tokens and clients of the API."""
