"""The only writers of the planning desk. Each is one transaction: it does all of what it says, or nothing."""
