"""The control law: leases, decisions, compliance. Pure: `now` is an argument, monotonic seconds."""
