"""Pages of the planning desk: a module a subject. Who may call what stands at each view; rules live in services."""
